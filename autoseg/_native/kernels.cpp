// The kernels of one instruction set: compiled once for each, with AUTOSEG_ISA naming it.
#include "crf/crf.hpp"
#include "supernet/source.hpp"
#include "vec.hpp"

#define AUTOSEG_STRING_(x) #x
#define AUTOSEG_STRING(x) AUTOSEG_STRING_(x)

namespace AUTOSEG_ISA {

extern const autoseg::Kernels kernels;
const autoseg::Kernels kernels = {
    AUTOSEG_STRING(AUTOSEG_ISA),
    int(kLanes<float>),
    source_sizes<float>,
    source_sizes<double>,
    source_forward<float>,
    source_forward<double>,
    source_backward<float>,
    source_backward<double>,
    crf_marginals,
    crf_filter_create,
    crf_filter_product,
    crf_filter_destroy,
    crf_release,
    crf_exp2,
    crf_sixth,
};

}  // namespace AUTOSEG_ISA
