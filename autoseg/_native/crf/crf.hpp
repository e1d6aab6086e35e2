// The dense CRF of one instruction set: see crf.cpp.
#pragma once

#include "../kernels.hpp"

namespace AUTOSEG_ISA {

bool crf_marginals(const autoseg::CrfCall& call);
void* crf_filter_create(const autoseg::CrfFeatures& call);
void crf_filter_product(const void* filter, const float* values, float* result,
                        std::ptrdiff_t channels, bool is_adjoint, int num_threads);
void crf_filter_destroy(void* filter);
void crf_release();
void crf_exp2(const float* x, std::ptrdiff_t count, float* result);
void crf_sixth(const double* x, std::ptrdiff_t count, double* result);

}  // namespace AUTOSEG_ISA
