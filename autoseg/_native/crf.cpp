// Mean field inference, compiled once for each instruction set.
//
// An update is one pass over blocks of pixels: slice the bilateral messages, add the spatial ones
// and the scores, softmax, and hand the new marginals to the filters of the next update. A block
// has the labels one after the other, L pixels a vector: softmax then needs no sum across lanes and
// no lane is spent on labels that do not exist. Only the lattice has labels in lanes; blocks are
// transposed on the way. The marginals themselves are written in the last pass alone.
#include "crf.hpp"

#include <limits>
#include <memory>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "crf_bilateral.hpp"
#include "crf_filter.hpp"
#include "crf_spatial_band.hpp"

namespace AUTOSEG_ISA {
namespace {

using autoseg::CrfCall;

constexpr index_t L = kLanes<float>;

class MeanField {
public:
    MeanField(const CrfCall& call, Arena& memory)
        : call_(call), num_pixels_(call.height * call.width), row_(round_up(call.labels, L)) {
        const index_t pairs = (call.height + 1) / 2;  // of rows: a row of cells has one owner
        const index_t num_bands = std::clamp<index_t>(call.num_threads, 1, pairs);
        for (index_t i = 0; i < num_bands; ++i) {
            const Rows part = part_of(pairs, i, num_bands);
            bands_.push_back({2 * part.first, std::min(2 * part.last, call.height)});
        }
        for (index_t m = 0; m < call.num_bilateral; ++m) {
            bilateral_.push_back(
                std::make_unique<BilateralFilter>(call, call.bilateral[m], bands_, memory));
        }
        for (index_t m = 0; m < call.num_spatial; ++m) {
            spatial_.push_back(
                std::make_unique<SpatialFilter>(call, call.spatial[m], bands_, memory));
        }
    }

    void run() {
        update(true, call_.num_iterations == 0);
        for (int i = 1; i <= call_.num_iterations; ++i) {
            for (auto& filter : bilateral_) filter->blur(call_.num_threads);
            for (auto& filter : spatial_) filter->turn();
            const float change = update(false, i == call_.num_iterations);
            if (double(change) < call_.tolerance) break;
        }
    }

private:
    // A thread's share of an update.
    struct Band {
        index_t number;
        bool is_first, is_last;
        float* values;  // of a block, (labels, L): scores and messages, then exponentials
        float* after;   // of the spatial filters, (num_spatial, L)
        std::vector<SpatialBand> spatial;
        float change = 0;
    };

    // Where a block's scores are: label c's at + c * step, in units of log2 once multiplied.
    struct Scores {
        const float* at;
        index_t step;
        index_t pixels;
        float factor;

        AUTOSEG_INLINE Vec<float> of(index_t label) const {
            const float* from = at + label * step;
            return (pixels == L ? load_anywhere(from) : load_some(from, pixels)) * factor;
        }
    };

    static Arena& scratch() {
        thread_local Arena arena;
        return arena;
    }

    // Compute the marginals from scores and messages. Returns the largest change, if it is needed.
    float update(bool is_first, bool is_last) {
        std::vector<float> changes(bands_.size());
        in_parallel(index_t(bands_.size()), call_.num_threads, [&](index_t number) {
            Arena& memory = scratch();
            memory.reset();
            Band band{number, is_first, is_last, memory.zeros<float>(row_ * L),
                      memory.zeros<float>(call_.num_spatial * L), {}};
            const Rows rows = bands_[std::size_t(number)];
            for (const auto& filter : spatial_) {
                band.spatial.emplace_back(*filter, number, rows, call_.width, memory);
            }
            if (!is_last) {
                for (auto& filter : bilateral_) filter->clear(number);
            }
            for (index_t y = rows.first; y < rows.last; y += 2) {
                for (SpatialBand& spatial : band.spatial) {
                    if (!is_first) spatial.prepare(y);
                }
                for (index_t x = 0; x < call_.width; x += L) {
                    for (index_t row = y; row < std::min(y + 2, rows.last); ++row) {
                        update_block(band, row, x);
                    }
                }
                for (SpatialBand& spatial : band.spatial) {
                    if (!is_last) spatial.hand_over(y);
                }
            }
            changes[std::size_t(number)] = band.change;
        });
        float change = is_first ? std::numeric_limits<float>::infinity() : 0;
        for (float of_band : changes) change = std::max(change, of_band);
        return change;
    }

    AUTOSEG_INLINE void update_block(Band& band, index_t y, index_t x) {
        for (auto& filter : bilateral_) filter->fetch(y, x);
        const Scores scores = scores_of(band, y, x);
        if (band.is_first) {
            for (index_t c = 0; c < call_.labels; ++c) store(band.values + c * L, scores.of(c));
            keep_scores(band, y, x);
        } else {
            add_messages(band, scores, y, x);
        }
        const Vec<float> factor = exponentiate(band.values);
        if (band.is_last || keeps_marginals()) write(band, factor, y, x);
        if (!band.is_last) hand_over(band, factor, y, x);
    }

    bool keeps_marginals() const { return call_.tolerance > 0; }

    AUTOSEG_INLINE index_t count(index_t x) const { return std::min(L, call_.width - x); }

    // Labels lie far apart in the caller's order. The first update copies the scores, block by
    // block, to where the marginals will be, and only the last reads the caller's again.
    AUTOSEG_INLINE float* kept_scores(index_t y, index_t x) const {
        return call_.marginals + (y * call_.width + x) * call_.labels;
    }

    AUTOSEG_INLINE void keep_scores(const Band& band, index_t y, index_t x) const {
        if (keeps_marginals() || band.is_last) return;
        float* to = kept_scores(y, x);
        const index_t pixels = count(x);
        for (index_t c = 0; c < call_.labels; ++c, to += pixels) {
            const Vec<float> value = load(band.values + c * L);
            pixels == L ? store_anywhere(to, value) : store_some(to, value, pixels);
        }
    }

    AUTOSEG_INLINE Scores scores_of(const Band& band, index_t y, index_t x) const {
        const index_t pixels = count(x);
        if (keeps_marginals() || band.is_first || band.is_last) {
            const float* at = call_.scores + y * call_.width + x;
            for (index_t c = 0; c < call_.labels; ++c) fetch_ahead(at + c * num_pixels_);
            return {at, num_pixels_, pixels, kPerNat};
        }
        const float* at = kept_scores(y, x);
        for (index_t c = 0; c < call_.labels; ++c) {
            __builtin_prefetch(at + (2 * call_.labels + c) * L);
        }
        return {at, pixels, pixels, 1};
    }

    AUTOSEG_INLINE void add_messages(Band& band, const Scores& scores, index_t y, index_t x) const {
        for (std::size_t m = 0; m < spatial_.size(); ++m) {
            store(band.after + index_t(m) * L, spatial_[m]->after(y, x));
        }
        const bool is_potts = call_.compatibility == nullptr;
        // Messages of all spatial filters about a label, and its score if they simply add to it.
        const auto others = [&](index_t c) AUTOSEG_INLINED {
            Vec<float> sum = is_potts ? scores.of(c) : Vec<float>{};
            for (std::size_t m = 0; m < spatial_.size(); ++m) {
                sum += band.spatial[m].message(c, y, x) * load(band.after + index_t(m) * L);
            }
            return sum;
        };
        if (bilateral_.empty()) {
            for (index_t c = 0; c < call_.labels; ++c) store(band.values + c * L, others(c));
        }
        for (std::size_t m = 0; m < bilateral_.size(); ++m) {
            const BilateralFilter& filter = *bilateral_[m];
            const Vec<float> after = filter.after(y, x);
            for_chunks([&](auto labels, index_t c) AUTOSEG_INLINED {
                Vec<float> sliced[labels];
                filter.template slice<labels>(band.number, y, x, c, sliced);
                unroll<labels>([&](auto i) AUTOSEG_INLINED {
                    float* at = band.values + (c + i) * L;
                    if (c + i < call_.labels) {
                        store(at, sliced[i] * after + (m == 0 ? others(c + i) : load(at)));
                    }
                });
            });
        }
        if (!is_potts) mix_labels(band.values, scores);
    }

    // Call f(number of labels, first label) for pieces of the labels that fill vectors, or half.
    template <class F>
    AUTOSEG_INLINE void for_chunks(F&& f) const {
        constexpr int kHalf = L >= 8 ? int(L / 2) : int(L);
        for (index_t c = 0; c < call_.labels; c += L) {
            if (call_.labels - c > kHalf) {
                f(std::integral_constant<int, int(L)>{}, c);
            } else {
                f(std::integral_constant<int, kHalf>{}, c);
            }
        }
    }

    // From messages to scores less what the compatibility makes of the messages.
    void mix_labels(float* values, const Scores& scores) const {
        thread_local std::vector<float> mixed;
        mixed.resize(std::size_t(call_.labels * L));
        for (index_t c = 0; c < call_.labels; ++c) {
            Vec<float> score = scores.of(c);
            for (index_t other = 0; other < call_.labels; ++other) {
                const float penalty = call_.compatibility[c * call_.labels + other];
                score -= load(values + other * L) * spread(penalty);
            }
            store_anywhere(mixed.data() + c * L, score);
        }
        std::memcpy(values, mixed.data(), mixed.size() * sizeof(float));
    }

    // Replace a block's values by powers of two, the highest 1; return 1 / their sum.
    AUTOSEG_INLINE Vec<float> exponentiate(float* values) const {
        Vec<float> highest = load(values);
        for (index_t c = 1; c < call_.labels; ++c) {
            highest = maximum<float>(highest, load(values + c * L));
        }
        Vec<float> sum{};
        for (index_t c = 0; c < call_.labels; ++c) {
            const Vec<float> value = exp2_not_positive(load(values + c * L) - highest);
            sum += value;
            store(values + c * L, value);
        }
        return spread(1.f) / sum;
    }

    void write(Band& band, Vec<float> factor, index_t y, index_t x) const {
        float* to = call_.marginals + y * call_.width + x;
        const index_t pixels = count(x);
        Vec<float> change{};
        for (index_t c = 0; c < call_.labels; ++c, to += num_pixels_) {
            const Vec<float> value = load(band.values + c * L) * factor;
            if (keeps_marginals() && !band.is_first) {
                const Vec<float> difference = value - load_some(to, pixels);
                change = maximum<float>(change, maximum<float>(difference, -difference));
            }
            pixels == L ? store_anywhere(to, value) : store_some(to, value, pixels);
        }
        for (index_t i = 0; i < pixels; ++i) band.change = std::max(band.change, change[i]);
    }

    AUTOSEG_INLINE void hand_over(Band& band, Vec<float> factor, index_t y, index_t x) {
        for (std::size_t m = 0; m < spatial_.size(); ++m) {
            const Vec<float> before = spatial_[m]->before(y, x) * factor;
            SpatialBand& spatial = band.spatial[m];
            for (index_t c = 0; c < call_.labels; ++c) {
                spatial.take(c, y, x, load(band.values + c * L) * before);
            }
        }
        for (auto& filter : bilateral_) {
            const Vec<float> before = filter->before(y, x) * factor;
            for_chunks([&](auto labels, index_t c) AUTOSEG_INLINED {
                Vec<float> values[labels];
                unroll<labels>([&](auto i) AUTOSEG_INLINED {
                    values[i] = load(band.values + (c + i) * L) * before;
                });
                filter->template splat_to<labels>(band.number, y, x, c, values);
            });
        }
    }

    const CrfCall& call_;
    index_t num_pixels_, row_;
    std::vector<Rows> bands_;
    std::vector<std::unique_ptr<BilateralFilter>> bilateral_;
    std::vector<std::unique_ptr<SpatialFilter>> spatial_;
};

}  // namespace

void crf_marginals(const CrfCall& call) {
    // Kept from call to call, as fresh memory costs more than some of the passes; but not where it
    // comes to hundreds of megabytes.
    constexpr index_t kLargeToKeep = index_t(1) << 23;  // scores
    thread_local Arena kept;
    Arena fresh;
    const index_t size = call.labels * call.height * call.width;
    const bool is_large = size > kLargeToKeep;
    Arena& memory = is_large ? fresh : kept;
    memory.reset();
    prefer_huge_pages(call.marginals, std::size_t(size) * sizeof(float));
    MeanField inference(call, memory);
#if defined(__GLIBC__)
    if (is_large) malloc_trim(0);  // a fifteenth of the peak is what building the lattices left
#endif
    inference.run();
}

void* crf_filter_create(const autoseg::CrfFeatures& call) { return new FeatureFilter(call); }

void crf_filter_product(const void* filter, const float* values, float* result,
                        std::ptrdiff_t channels, bool is_adjoint, int num_threads) {
    static_cast<const FeatureFilter*>(filter)->product(values, result, channels, is_adjoint,
                                                       num_threads);
}

void crf_filter_destroy(void* filter) { delete static_cast<FeatureFilter*>(filter); }

void crf_exp2(const float* x, std::ptrdiff_t count, float* result) {
    for (index_t i = 0; i < count; i += L) {
        const index_t some = std::min(L, count - i);
        store_some(result + i, exp2_not_positive(load_some(x + i, some)), some);
    }
}

}  // namespace AUTOSEG_ISA
