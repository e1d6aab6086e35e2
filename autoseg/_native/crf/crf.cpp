// The dense CRF, compiled once for each instruction set.
#include "crf.hpp"

#include <algorithm>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "filter.hpp"
#include "mean_field.hpp"

namespace AUTOSEG_ISA {

namespace {

// Kept from call to call, as fresh memory costs more than some of the passes; but not where it comes
// to hundreds of megabytes, be it for the scores or, in the end, for the lattices.
constexpr index_t kLargeToKeep = index_t(1) << 23;         // scores
constexpr std::size_t kMostToKeep = std::size_t(1) << 28;  // bytes

Arena& kept_memory() {
    thread_local Arena kept(&autoseg::MemoryAccount::shared());
    return kept;
}

struct ReleaseIfLarge {
    ~ReleaseIfLarge() {
        if (kept_memory().size() > kMostToKeep) kept_memory().release();
    }
};

}  // namespace

bool crf_marginals(const autoseg::CrfCall& call) {
    Arena fresh(&autoseg::MemoryAccount::shared());
    const ReleaseIfLarge at_the_end;
    const index_t size = call.labels * call.height * call.width;
    const bool is_large = size > kLargeToKeep;
    Arena& memory = is_large ? fresh : kept_memory();
    memory.reset();
    prefer_huge_pages(call.marginals, std::size_t(size) * sizeof(float));
    MeanField inference(call, memory);
    if (is_large) BlockPool::shared().clear();
#if defined(__GLIBC__)
    if (is_large) malloc_trim(0);  // a fifteenth of the peak is what building the lattices left
#endif
    return inference.run();
}

void* crf_filter_create(const autoseg::CrfFeatures& call) { return new FeatureFilter(call); }

void crf_filter_product(const void* filter, const float* values, float* result,
                        std::ptrdiff_t channels, bool is_adjoint, int num_threads) {
    static_cast<const FeatureFilter*>(filter)->product(values, result, channels, is_adjoint,
                                                       num_threads);
}

void crf_filter_destroy(void* filter) { delete static_cast<FeatureFilter*>(filter); }

void crf_release() {
    kept_memory().release();
    BlockPool::shared().clear();
}

void crf_exp2(const float* x, std::ptrdiff_t count, float* result) {
    constexpr index_t L = kLanes<float>;
    for (index_t i = 0; i < count; i += L) {
        const index_t some = std::min(L, count - i);
        store_some(result + i, exp2_not_positive(load_some(x + i, some)), some);
    }
}

void crf_sixth(const double* x, std::ptrdiff_t count, double* result) {
    for (index_t i = 0; i < count; ++i) result[i] = sixth_of(splat(x[i]))[0];
}

}  // namespace AUTOSEG_ISA
