// Python's side of the dense CRF. Tensors come as addresses: their dtype, size, device and
// contiguity are checked in `autoseg.crf.native`, which is the only caller.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "../dispatch.hpp"
#include "../memory_account.hpp"

namespace nb = nanobind;

namespace {

const autoseg::Kernels& kernels_of(const std::string& isa) {
    return isa.empty() ? autoseg::chosen_kernels() : autoseg::kernels_of(isa);
}

template <class T>
T* pointer(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

// (address of the weights, xy_std, rgb_std) and (address of the weights, xy_std).
using Bilateral = std::tuple<std::uintptr_t, double, double>;
using Spatial = std::tuple<std::uintptr_t, double>;

bool crf_marginals(std::uintptr_t scores, std::uintptr_t image, bool is_bytes,
                   std::uintptr_t marginals,
                   std::tuple<std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t> size,
                   const std::vector<Bilateral>& bilateral, const std::vector<Spatial>& spatial,
                   std::uintptr_t compatibility, int normalisation, bool closed,
                   double feature_scale, int num_iterations, double tolerance,
                   double subsample_above, std::size_t available, int num_threads,
                   const std::string& isa) {
    const autoseg::MemoryAllowance allowance(available);
    const auto [labels, height, width] = size;
    if (std::min({labels, height, width}) < 1) {
        throw std::invalid_argument("crf_marginals: every size has to be at least 1.");
    }
    std::vector<autoseg::CrfBilateral> bilateral_kernels;
    for (const auto& [weights, xy_std, rgb_std] : bilateral) {
        bilateral_kernels.push_back({pointer<const float>(weights), xy_std, rgb_std});
    }
    std::vector<autoseg::CrfSpatial> spatial_kernels;
    for (const auto& [weights, xy_std] : spatial) {
        spatial_kernels.push_back({pointer<const float>(weights), xy_std});
    }
    return kernels_of(isa).crf_marginals(autoseg::CrfCall{
        labels, height, width, pointer<const float>(scores),
        is_bytes ? nullptr : pointer<const float>(image),
        is_bytes ? pointer<const std::uint8_t>(image) : nullptr, pointer<float>(marginals),
        std::ptrdiff_t(bilateral_kernels.size()),
        std::ptrdiff_t(spatial_kernels.size()), bilateral_kernels.data(), spatial_kernels.data(),
        pointer<const float>(compatibility), autoseg::Normalisation(normalisation), closed,
        feature_scale, num_iterations, tolerance, subsample_above, num_threads});
}

class LatticeFilter {
public:
    LatticeFilter(std::uintptr_t features, std::ptrdiff_t num_pixels, bool closed,
                  double feature_scale, std::size_t available, int num_threads,
                  const std::string& isa)
        : kernels_(kernels_of(isa)) {
        const autoseg::MemoryAllowance allowance(available);
        if (num_pixels < 1) throw std::invalid_argument("LatticeFilter: there is no pixel.");
        filter_ = kernels_.crf_filter_create(
            {pointer<const double>(features), num_pixels, closed, feature_scale, num_threads});
    }
    LatticeFilter(const LatticeFilter&) = delete;
    LatticeFilter& operator=(const LatticeFilter&) = delete;
    ~LatticeFilter() { kernels_.crf_filter_destroy(filter_); }

    void product(std::uintptr_t values, std::uintptr_t result, std::ptrdiff_t channels,
                 bool is_adjoint, std::size_t available, int num_threads) const {
        const autoseg::MemoryAllowance allowance(available);
        kernels_.crf_filter_product(filter_, pointer<const float>(values), pointer<float>(result),
                                    channels, is_adjoint, num_threads);
    }

private:
    const autoseg::Kernels& kernels_;
    void* filter_;
};

void crf_exp2(std::uintptr_t x, std::ptrdiff_t count, std::uintptr_t result,
              const std::string& isa) {
    kernels_of(isa).crf_exp2(pointer<const float>(x), count, pointer<float>(result));
}

void crf_sixth(std::uintptr_t x, std::ptrdiff_t count, std::uintptr_t result,
               const std::string& isa) {
    kernels_of(isa).crf_sixth(pointer<const double>(x), count, pointer<double>(result));
}

}  // namespace

void bind_crf(nb::module_& module) {
    nb::list normalisations;
    for (const char* name : autoseg::kNormalisations) normalisations.append(name);
    module.attr("normalisations") = normalisations;  // in the order of the numbers for them
    module.def("crf_marginals", &crf_marginals, nb::arg("scores"), nb::arg("image"),
               nb::arg("is_bytes"), nb::arg("marginals"), nb::arg("size"), nb::arg("bilateral"),
               nb::arg("spatial"),
               nb::arg("compatibility"), nb::arg("normalisation"), nb::arg("closed"),
               nb::arg("feature_scale"), nb::arg("num_iterations"), nb::arg("tolerance"),
               nb::arg("subsample_above"), nb::arg("available"), nb::arg("num_threads"),
               nb::arg("isa") = "",
               nb::call_guard<nb::gil_scoped_release>(),
               "Infer the marginals of one image; see autoseg.crf.native.");
    nb::class_<LatticeFilter>(module, "LatticeFilter", "The permutohedral filter of five features.")
        .def(nb::init<std::uintptr_t, std::ptrdiff_t, bool, double, std::size_t, int,
                      const std::string&>(),
             nb::arg("features"), nb::arg("num_pixels"), nb::arg("closed"),
             nb::arg("feature_scale"), nb::arg("available"), nb::arg("num_threads"),
             nb::arg("isa") = "")
        .def("product", &LatticeFilter::product, nb::arg("values"), nb::arg("result"),
             nb::arg("channels"), nb::arg("is_adjoint"), nb::arg("available"),
             nb::arg("num_threads"), nb::call_guard<nb::gil_scoped_release>());
    nb::exception<autoseg::MemoryShortage>(module, "MemoryShortage", PyExc_MemoryError);
    module.def(
        "crf_memory",
        [] {
            const autoseg::MemoryAccount& account = autoseg::MemoryAccount::shared();
            return std::make_tuple(account.held(), account.peak());
        },
        "Return the bytes that the CRF holds, and the most that it held in the last call.");
    module.def(
        "crf_release",
        [] {
            for (const std::string& isa : autoseg::present_isas()) kernels_of(isa).crf_release();
        },
        "Give back what is kept for further calls, the pools and this thread's own.");
    module.def("crf_exp2", &crf_exp2, nb::arg("x"), nb::arg("count"), nb::arg("result"),
               nb::arg("isa") = "", "Powers of two of float32 exponents that are not positive.");
    module.def("crf_sixth", &crf_sixth, nb::arg("x"), nb::arg("count"), nb::arg("result"),
               nb::arg("isa") = "", "Powers of two of float32 exponents that are not positive.");
}
