// Mean field inference, compiled once for each instruction set.
//
// An update is one pass over blocks of pixels: slice the bilateral messages, add the spatial ones and
// the scores, softmax, and hand the new marginals to the filters of the next update. A block has the
// labels one after the other, L pixels a vector: softmax then needs no sum across lanes and no lane
// is spent on labels that do not exist. Only the lattice has labels in lanes; blocks are transposed
// on the way. The marginals themselves are written in the last pass alone.
#include "crf.hpp"

#include <limits>
#include <memory>

#include "crf_bilateral.hpp"
#include "crf_filter.hpp"

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
            spatial_.push_back(std::make_unique<SpatialFilter>(call.spatial[m].xy_std, call.labels,
                                                               call.height, call.width,
                                                               call.normalisation, memory));
        }
    }

    void run() {
        update(true, call_.num_iterations == 0);
        for (int i = 1; i <= call_.num_iterations; ++i) {
            for (auto& filter : bilateral_) filter->blur(call_.num_threads);
            for (index_t m = 0; m < call_.num_spatial; ++m) {
                spatial_[std::size_t(m)]->blur(call_.spatial[m].weights, call_.labels,
                                               call_.num_threads);
            }
            const float change = update(false, i == call_.num_iterations);
            if (double(change) < call_.tolerance) break;
        }
    }

private:
    // A thread's buffers, (labels, L) each but for what it adds up itself.
    struct Block {
        float* values;    // scores, then marginals
        float* messages;  // where they do not simply add to the scores
        float* cells;     // (spatial filters, labels, L)
        float change = 0;
    };

    static Arena& scratch() {
        thread_local Arena arena;
        return arena;
    }

    // Compute the marginals from scores and messages. Returns the largest change, if it is needed.
    float update(bool is_first, bool is_last) {
        std::vector<float> changes(bands_.size());
        in_parallel(index_t(bands_.size()), call_.num_threads, [&](index_t band) {
            Arena& memory = scratch();
            memory.reset();
            const index_t size = row_ * L;
            Block block{memory.zeros<float>(size), memory.zeros<float>(size),
                        memory.take<float>(call_.num_spatial * size)};
            if (!is_last) {
                for (auto& filter : bilateral_) filter->clear(band);
            }
            const Rows rows = bands_[std::size_t(band)];
            for (index_t y = rows.first; y < rows.last; y += 2) {
                for (index_t x = 0; x < call_.width; x += L) {
                    const index_t last_row = std::min(y + 2, rows.last);
                    for (index_t row = y; row < last_row; ++row) {
                        for (auto& filter : bilateral_) filter->fetch(row, x);
                        load_scores(block, row, x);
                        if (!is_first) add_messages(block, band, row, x);
                        softmax(block);
                        if (is_last || keeps_marginals()) write(block, row, x, is_first);
                        if (!is_last) hand_over(block, band, row, x, row == last_row - 1);
                    }
                }
            }
            changes[std::size_t(band)] = block.change;
        });
        float change = is_first ? std::numeric_limits<float>::infinity() : 0;
        for (float of_band : changes) change = std::max(change, of_band);
        return change;
    }

    bool keeps_marginals() const { return call_.tolerance > 0; }

    AUTOSEG_INLINE index_t count(index_t x) const { return std::min(L, call_.width - x); }

    AUTOSEG_INLINE void load_scores(Block& block, index_t y, index_t x) const {
        const float* from = call_.scores + y * call_.width + x;
        if (count(x) == L) {
            for (index_t c = 0; c < call_.labels; ++c) {
                fetch_ahead(from + c * num_pixels_);
                store(block.values + c * L, load_anywhere(from + c * num_pixels_));
            }
        } else {
            for (index_t c = 0; c < call_.labels; ++c) {
                store(block.values + c * L, load_some(from + c * num_pixels_, count(x)));
            }
        }
    }

    AUTOSEG_INLINE void add_messages(Block& block, index_t band, index_t y, index_t x) const {
        float* to = block.values;
        if (call_.compatibility != nullptr) {
            to = block.messages;
            std::memset(to, 0, std::size_t(row_ * L) * sizeof(float));
        }
        for (const auto& filter : bilateral_) {
            const Vec<float> after = load(filter->after(y, x));
            for (index_t c = 0; c < row_; c += L) {
                Vec<float> sliced[L];
                filter->slice(band, y, x, c / L, sliced);
                unroll<int(L)>([&](auto i) AUTOSEG_INLINED {
                    float* at = to + (c + i) * L;
                    store(at, load(at) + sliced[i] * after);
                });
            }
        }
        for (const auto& filter : spatial_) {
            const Vec<float> after = filter->after(y, x);
            for (index_t c = 0; c < call_.labels; ++c) {
                store(to + c * L, load(to + c * L) + filter->message(c, y, x) * after);
            }
        }
        if (call_.compatibility == nullptr) return;
        for (index_t c = 0; c < call_.labels; ++c) {
            Vec<float> score = load(block.values + c * L);
            for (index_t other = 0; other < call_.labels; ++other) {
                score -= load(to + other * L) * spread(call_.compatibility[c * call_.labels + other]);
            }
            store(block.values + c * L, score);
        }
    }

    AUTOSEG_INLINE void softmax(Block& block) const {
        float* values = block.values;
        Vec<float> highest = load(values);
        for (index_t c = 1; c < call_.labels; ++c) highest = maximum<float>(highest, load(values + c * L));
        Vec<float> sum{};
        for (index_t c = 0; c < call_.labels; ++c) {
            const Vec<float> value = exp_not_positive(load(values + c * L) - highest);
            sum += value;
            store(values + c * L, value);
        }
        const Vec<float> factor = spread(1.f) / sum;
        for (index_t c = 0; c < call_.labels; ++c) store(values + c * L, load(values + c * L) * factor);
    }

    void write(Block& block, index_t y, index_t x, bool is_first) const {
        float* to = call_.marginals + y * call_.width + x;
        const index_t pixels = count(x);
        Vec<float> change{};
        for (index_t c = 0; c < call_.labels; ++c, to += num_pixels_) {
            const Vec<float> value = load(block.values + c * L);
            if (keeps_marginals() && !is_first) {
                const Vec<float> difference = value - load_some(to, pixels);
                change = maximum<float>(change, maximum<float>(difference, -difference));
            }
            pixels == L ? store_anywhere(to, value) : store_some(to, value, pixels);
        }
        for (index_t i = 0; i < pixels; ++i) block.change = std::max(block.change, change[i]);
    }

    AUTOSEG_INLINE void hand_over(Block& block, index_t band, index_t y, index_t x, bool ends_cells) {
        for (index_t m = 0; m < call_.num_spatial; ++m) {
            SpatialFilter& filter = *spatial_[std::size_t(m)];
            const Vec<float> before = filter.before(y, x);
            float* cells = block.cells + m * row_ * L;
            for (index_t c = 0; c < call_.labels; ++c) {
                Vec<float> value = load(block.values + c * L) * before;
                if (!filter.is_halved()) {
                    filter.set_pixels(c, y, x, value);
                } else {
                    if (y % 2 == 1) value += load(cells + c * L);
                    ends_cells ? filter.set_cells(c, y / 2, x, value) : store(cells + c * L, value);
                }
            }
        }
        for (auto& filter : bilateral_) {
            const Vec<float> before = load(filter->before(y, x));
            for (index_t c = 0; c < row_; c += L) {
                Vec<float> values[L];
                unroll<int(L)>([&](auto i) AUTOSEG_INLINED {
                    values[i] = load(block.values + (c + i) * L) * before;
                });
                filter->splat_to(band, y, x, c / L, values);
            }
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
    Arena& memory = call.labels * call.height * call.width > kLargeToKeep ? fresh : kept;
    memory.reset();
    MeanField(call, memory).run();
}

void* crf_filter_create(const autoseg::CrfFeatures& call) { return new FeatureFilter(call); }

void crf_filter_product(const void* filter, const float* values, float* result,
                        std::ptrdiff_t channels, bool is_adjoint, int num_threads) {
    static_cast<const FeatureFilter*>(filter)->product(values, result, channels, is_adjoint,
                                                       num_threads);
}

void crf_filter_destroy(void* filter) { delete static_cast<FeatureFilter*>(filter); }

void crf_exp(const float* x, std::ptrdiff_t count, float* result) {
    for (index_t i = 0; i < count; i += L) {
        const index_t some = std::min(L, count - i);
        store_some(result + i, exp_not_positive(load_some(x + i, some)), some);
    }
}

}  // namespace AUTOSEG_ISA
