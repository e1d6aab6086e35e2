// Mean field inference, compiled once for each instruction set.
//
// An update is one pass over tiles of 2 x L pixels: sum the scores, the spatial and the bilateral
// messages, softmax, and hand the new marginals to the filters of the next update. A row of a tile
// has the labels one after the other, L pixels a vector: softmax then needs no sum across lanes and
// no lane is spent on labels that do not exist. Only the lattice has labels in lanes; rows are
// transposed on the way. Tiles that have settled are passed over (crf_settled.hpp). Only the last
// update writes marginals.
#include "crf.hpp"

#include <limits>
#include <memory>
#include <optional>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "crf_bilateral.hpp"
#include "crf_filter.hpp"
#include "crf_settled.hpp"
#include "crf_softmax.hpp"
#include "crf_spatial_band.hpp"

namespace AUTOSEG_ISA {
namespace {

using autoseg::CrfCall;

constexpr index_t L = kLanes<float>;

class MeanField {
public:
    MeanField(const CrfCall& call, Arena& memory)
        : call_(call),
          scores_(call),
          num_pixels_(call.height * call.width),
          is_incremental_(call.skip_tolerance > 0 && call.tolerance == 0 &&
                          call.num_iterations > kFirstIncremental) {
        const index_t pairs = (call.height + 1) / 2;  // of rows: a tile has one owner
        const index_t num_bands = std::clamp<index_t>(call.num_threads, 1, pairs);
        for (index_t i = 0; i < num_bands; ++i) {
            const Rows part = part_of(pairs, i, num_bands);
            bands_.push_back({2 * part.first, std::min(2 * part.last, call.height)});
        }
        for (index_t m = 0; m < call.num_bilateral; ++m) {
            bilateral_.push_back(std::make_unique<BilateralFilter>(
                call, call.bilateral[m], bands_, is_incremental_, memory));
        }
        spatial_bands_.resize(bands_.size());
        for (index_t m = 0; m < call.num_spatial; ++m) {
            spatial_.push_back(std::make_unique<SpatialFilter>(call, call.spatial[m],
                                                               is_incremental_, memory));
            for (std::size_t i = 0; i < bands_.size(); ++i) {
                spatial_bands_[i].emplace_back(*spatial_.back(), bands_[i], is_incremental_,
                                               memory);
            }
        }
        if (is_incremental_) {
            settled_.emplace(call.labels, call.height, call.width, call.skip_tolerance, memory);
        }
        for (index_t c = 0; call.compatibility != nullptr && c < call.labels; ++c) {
            float sum = 0;
            for (index_t other = 0; other < call.labels; ++other) {
                sum += std::abs(call.compatibility[c * call.labels + other]);
            }
            mixing_ = c == 0 ? sum : std::max(mixing_, sum);
        }
    }

    void run() {
        update(0);
        for (int i = 1; i <= call_.num_iterations; ++i) {
            for (auto& filter : bilateral_) filter->blur(call_.num_threads);
            join_spatial();
            const float change = update(i);
            if (double(change) < call_.tolerance) break;
        }
    }

private:
    // Before, all messages are new.
    static constexpr int kFirstIncremental = 2;
    // Of the tolerance: what the last update leaves as it is, nothing puts right.
    static constexpr float kLastShare = 1.f / 32;

    // Rows y and, if the image has it, y + 1; L pixels from x on.
    struct Tile {
        index_t y, x;
        int rows;
    };

    // A thread's share of an update.
    struct Band {
        index_t number;
        int update;
        bool is_first, is_last;
        float* values;  // of a tile, (2, labels, L): scores and messages, then exponentials
        std::vector<SpatialBand>& spatial;
        std::vector<std::uint8_t> is_computed;  // of the tiles of two rows
        Tile ahead;                             // whose memory is asked for early
        float change = 0;
    };

    static Arena& scratch() {
        thread_local Arena arena;
        return arena;
    }

    // What was handed over becomes what is read.
    void join_spatial() {
        // Rows between two bands have shares of both, always added in the same order.
        for (const auto merge : {&SpatialBand::merge_own, &SpatialBand::merge_before,
                                 &SpatialBand::merge_after}) {
            in_parallel(index_t(bands_.size()), call_.num_threads, [&](index_t number) {
                for (SpatialBand& band : spatial_bands_[std::size_t(number)]) (band.*merge)();
            });
        }
    }

    // Compute the marginals from scores and messages. Returns the largest change, if it is needed.
    float update(int number) {
        const bool is_first = number == 0, is_last = number == call_.num_iterations;
        std::vector<float> changes(bands_.size());
        in_parallel(index_t(bands_.size()), call_.num_threads, [&](index_t i) {
            Arena& memory = scratch();
            memory.reset();
            Band band{i, number, is_first, is_last,
                      memory.zeros<float>(2 * round_up(call_.labels, L) * L),
                      spatial_bands_[std::size_t(i)],
                      std::vector<std::uint8_t>(std::size_t((call_.width + L - 1) / L)), {}};
            const Rows rows = bands_[std::size_t(i)];
            if (!is_last) {
                for (auto& filter : bilateral_) filter->clear(i);
            }
            for (index_t y = rows.first; y < rows.last; y += 2) {
                update_rows(band, y, int(std::min<index_t>(2, rows.last - y)));
                for (SpatialBand& spatial : band.spatial) {
                    if (!is_last) spatial.end(y);
                }
            }
            changes[std::size_t(i)] = band.change;
        });
        float change = is_first ? std::numeric_limits<float>::infinity() : 0;
        for (float of_band : changes) change = std::max(change, of_band);
        return change;
    }

    void update_rows(Band& band, index_t y, int count) {
        for (SpatialBand& spatial : band.spatial) {
            spatial.begin(y);
            if (may_skip(band)) spatial.sum_changes();
        }
        const index_t num_tiles = index_t(band.is_computed.size());
        for (index_t i = 0; i < num_tiles; ++i) {
            band.is_computed[std::size_t(i)] =
                !may_skip(band) || !has_settled(band, {y, i * L, count});
        }
        if (!band.is_first) {
            for (SpatialBand& spatial : band.spatial) {
                spatial.sum_labels(band.is_computed.data(), num_tiles);
            }
        }
        const auto next = [&](index_t i) {  // of the tiles to be computed
            do {
                ++i;
            } while (i < num_tiles && !band.is_computed[std::size_t(i)]);
            return i;
        };
        index_t first = next(-1), second = next(first), third = next(second);
        for (; first < num_tiles; first = second, second = third, third = next(third)) {
            // At the end, what the next rows may need.
            const bool is_end = third >= num_tiles;
            band.ahead = {is_end ? std::min(y + 2, call_.height - count) : y,
                          is_end ? 0 : third * L, count};
            update_tile(band, {y, first * L, count});
        }
        if (!band.is_last) return;
        for (index_t i = 0; i < num_tiles; ++i) {
            if (!band.is_computed[std::size_t(i)]) write_settled(band, {y, i * L, count});
        }
    }

    bool may_skip(const Band& band) const {
        return is_incremental_ && band.update >= kFirstIncremental;
    }

    // Whether this update may leave a tile as it is.
    AUTOSEG_INLINE bool has_settled(Band& band, const Tile& tile) {
        Vec<float> moved[2] = {};
        for (std::size_t m = 0; m < spatial_.size(); ++m) {
            for (int row = 0; row < tile.rows; ++row) {
                const Vec<float> after = spatial_[m]->after(tile.y + row, tile.x);
                moved[row] += band.spatial[m].message(call_.labels, tile.x, row) * after;
            }
        }
        Vec<float> least = spread(std::numeric_limits<float>::infinity());
        for (int row = 0; row < tile.rows; ++row) {
            for (const auto& filter : bilateral_) {
                moved[row] += filter->change(band.number, tile.y + row, tile.x);
            }
            const Vec<float> left =
                settled_->move(settled_->place(tile.y + row, tile.x), moved[row] * spread(mixing_),
                               band.is_last ? kLastShare : 1);
            least = left < least ? left : least;
        }
        return highest_lane(-least) < 0;
    }

    AUTOSEG_INLINE void update_tile(Band& band, const Tile& tile) {
        if (band.is_first) {
            for (int row = 0; row < tile.rows; ++row) {
                const Scores scores = scores_of(band, tile.y + row, tile.x);
                float* values = values_of(band, row);
                for (index_t c = 0; c < call_.labels; ++c) store(values + c * L, scores.of(c));
                if (!keeps_marginals() && !band.is_last) scores_.keep(tile.y + row, tile.x, values);
            }
        } else {
            add_messages(band, tile);
        }
        Vec<float> factors[2], changes[2] = {};
        for (int row = 0; row < tile.rows; ++row) {
            const index_t y = tile.y + row;
            float* values = values_of(band, row);
            factors[row] = exponentiate(call_.labels, values,
                                        scores_of(band, band.ahead.y + row, band.ahead.x));
            if (band.is_last || keeps_marginals()) write(band, values, factors[row], y, tile.x);
            if (band.is_last || !is_incremental_) continue;
            changes[row] = settled_->replace(settled_->place(y, tile.x),
                                             settled_->place(band.ahead.y + row, band.ahead.x),
                                             values, factors[row], band.is_first);
            factors[row] = spread(Settled::kUnit);
        }
        if (!band.is_last) hand_over(band, tile, factors, changes);
    }

    bool keeps_marginals() const { return call_.tolerance > 0; }

    float* values_of(const Band& band, int row) const {
        return band.values + row * round_up(call_.labels, L) * L;
    }

    AUTOSEG_INLINE Scores scores_of(const Band& band, index_t y, index_t x) const {
        return band.is_first || band.is_last || keeps_marginals() ? scores_.of_caller(y, x)
                                                                  : scores_.kept(y, x);
    }

    AUTOSEG_INLINE void add_messages(Band& band, const Tile& tile) const {
        const bool is_potts = call_.compatibility == nullptr;
        const Scores scores[2] = {scores_of(band, tile.y, tile.x),
                                  scores_of(band, tile.y + tile.rows - 1, tile.x)};
        for (int row = 0; row < tile.rows; ++row) {
            float* values = values_of(band, row);
            const index_t y = tile.y + row;
            add_spatial(band, values, tile, row, is_potts ? &scores[row] : nullptr);
            for (const auto& filter : bilateral_) {
                const Vec<float> after = filter->after(y, tile.x);
                for_chunks(call_.labels, [&](auto labels, index_t c) AUTOSEG_INLINED {
                    Vec<float> sliced[labels];
                    const index_t ahead =
                        c == 0 ? filter->place(band.ahead.y + row, band.ahead.x) : -1;
                    filter->template slice<labels>(band.number, y, tile.x, c, ahead, sliced);
                    unroll<labels>([&](auto i) AUTOSEG_INLINED {
                        float* at = values + (c + i) * L;
                        if (c + i < call_.labels) store(at, load(at) + sliced[i] * after);
                    });
                });
            }
            if (!is_potts) mix_labels(call_.compatibility, call_.labels, scores[row], values);
        }
    }

    // Put the scores of a tile's row, if there are any, and its spatial messages into values.
    AUTOSEG_INLINE void add_spatial(Band& band, float* values, const Tile& tile, int row,
                                    const Scores* scores) const {
        if (scores != nullptr) {
            for (index_t c = 0; c < call_.labels; ++c) store(values + c * L, scores->of(c));
        } else {
            std::memset(values, 0, std::size_t(call_.labels * L) * sizeof(float));
        }
        for (std::size_t m = 0; m < spatial_.size(); ++m) {
            const Vec<float> after = spatial_[m]->after(tile.y + row, tile.x);
            for (index_t c = 0; c < call_.labels; ++c) {
                float* at = values + c * L;
                store(at, load(at) + band.spatial[m].message(c, tile.x, row) * after);
            }
        }
    }

    void write(Band& band, const float* values, Vec<float> factor, index_t y, index_t x) const {
        float* to = call_.marginals + y * call_.width + x;
        const index_t pixels = std::min(L, call_.width - x);
        Vec<float> change{};
        for (index_t c = 0; c < call_.labels; ++c, to += num_pixels_) {
            const Vec<float> value = load(values + c * L) * factor;
            if (keeps_marginals() && !band.is_first) {
                const Vec<float> difference = value - load_some(to, pixels);
                change = maximum<float>(change, maximum<float>(difference, -difference));
            }
            pixels == L ? store_anywhere(to, value) : store_some(to, value, pixels);
        }
        for (index_t i = 0; i < pixels; ++i) band.change = std::max(band.change, change[i]);
    }

    void write_settled(Band& band, const Tile& tile) const {
        for (int row = 0; row < tile.rows; ++row) {
            float* values = values_of(band, row);
            const index_t y = tile.y + row;
            const Vec<float> factor = settled_->restore(settled_->place(y, tile.x), values);
            write(band, values, factor, y, tile.x);
        }
    }

    // Give values * factors, and the size of the changes, to the filters.
    AUTOSEG_INLINE void hand_over(Band& band, const Tile& tile, const Vec<float>* factors,
                                  const Vec<float>* changes) {
        for (std::size_t m = 0; m < spatial_.size(); ++m) {
            SpatialBand& spatial = band.spatial[m];
            Vec<float> before[2] = {};  // 0 for a missing row
            for (int row = 0; row < tile.rows; ++row) {
                before[row] = spatial_[m]->before(tile.y + row, tile.x) * factors[row];
            }
            const float* upper = values_of(band, 0);
            const float* lower = values_of(band, 1);
            for (index_t c = 0; c < call_.labels; ++c) {
                spatial.take(c, tile.x, load(upper + c * L) * before[0],
                             load(lower + c * L) * before[1]);
            }
            if (is_incremental_) {
                spatial.take(call_.labels, tile.x, changes[0] * before[0], changes[1] * before[1]);
            }
            spatial.touch(tile.x);
        }
        for (int row = 0; row < tile.rows; ++row) {
            const float* from = values_of(band, row);
            for (auto& filter : bilateral_) {
                const Vec<float> before = filter->before(tile.y + row, tile.x) * factors[row];
                for_chunks(call_.labels, [&](auto labels, index_t c) AUTOSEG_INLINED {
                    Vec<float> values[labels];
                    unroll<labels>([&](auto i) AUTOSEG_INLINED {
                        values[i] = load(from + (c + i) * L) * before;
                    });
                    const index_t ahead = band.is_first && c == 0
                        ? filter->place(band.ahead.y + row, band.ahead.x) : -1;
                    filter->template splat_to<labels>(band.number, tile.y + row, tile.x, c, ahead,
                                                      values);
                });
            }
        }
    }

    const CrfCall& call_;
    ScoreRows scores_;
    index_t num_pixels_;
    bool is_incremental_;
    std::vector<Rows> bands_;
    std::vector<std::unique_ptr<BilateralFilter>> bilateral_;
    std::vector<std::unique_ptr<SpatialFilter>> spatial_;
    std::vector<std::vector<SpatialBand>> spatial_bands_;  // of each band
    std::optional<Settled> settled_;
    float mixing_ = 1;  // by how much the compatibility can enlarge messages
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
