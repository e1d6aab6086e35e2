// Mean field inference.
//
// An update is one pass over tiles of 2 x L pixels: sum the scores, the spatial and the bilateral
// messages, softmax, and hand the new marginals to the filters of the next update. A row of a tile
// has the labels one after the other, L pixels a vector: softmax then needs no sum across lanes and
// no lane is spent on labels that do not exist. Only the lattice has labels in lanes; rows are
// transposed on the way. A tile's rows are woven, and where half of the pixels are enough only one
// of the two is computed (subsampling.hpp): the first update finds out where. Only the last update
// writes marginals.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "balance.hpp"
#include "bilateral.hpp"
#include "marginals.hpp"
#include "softmax.hpp"
#include "spatial_band.hpp"
#include "subsampling.hpp"

namespace AUTOSEG_ISA {

class MeanField {
public:
    static constexpr index_t L = kLanes<float>;
    static constexpr index_t kTiles = BlockSums::kColumns / L;  // of a block
    static_assert(BlockSums::kColumns % L == 0);

    MeanField(const autoseg::CrfCall& call, Arena& memory)
        : call_(call),
          scores_(call),
          marginals_(call),
          subsampling_(call),
          bands_(balanced_bands(call)) {
        for (index_t m = 0; m < call.num_bilateral; ++m) {
            bilateral_.push_back(
                std::make_unique<BilateralFilter>(call, call.bilateral[m], bands_, memory));
        }
        spatial_bands_.resize(bands_.size());
        for (index_t m = 0; m < call.num_spatial; ++m) {
            spatial_.push_back(std::make_unique<SpatialFilter>(call, call.spatial[m], memory));
            for (std::size_t i = 0; i < bands_.size(); ++i) {
                spatial_bands_[i].emplace_back(*spatial_.back(), bands_[i], memory);
            }
        }
    }

    // Whether all scores are finite; if not, there are no marginals.
    bool run() {
        update(0);
        if (!is_finite_) return false;
        for (int i = 1; i <= call_.num_iterations; ++i) {
            for (auto& filter : bilateral_) filter->blur(call_.num_threads);
            join_spatial();
            const float change = update(i);
            if (double(change) < call_.tolerance) break;
        }
        return true;
    }

private:
    static constexpr float kOnes[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static_assert(sizeof(kOnes) / sizeof(float) >= std::size_t(L));

    // A thread's share of an update.
    struct Band {
        index_t number;
        int update;
        bool is_first, is_last;
        float* block;   // values of the tiles of a block
        float* values;  // of a tile, (2, labels, L): scores and messages, then exponentials
        float* scores;  // of a tile, the same, for a compatibility
        std::vector<SpatialBand>& spatial;
        Tile ahead;  // whose memory is asked for early
        float change = 0;
        Vec<float> trace = {};  // 0, or NaN where a score was not finite
    };

    static Arena& scratch() {
        thread_local Arena arena;
        return arena;
    }

    index_t tile_size() const { return 2 * round_up(call_.labels, L) * L; }

    // What was handed over becomes what is read.
    void join_spatial() {
        const std::size_t count = bands_.size();
        in_parallel(index_t(count), call_.num_threads, [&](index_t number) {
            const std::size_t i = std::size_t(number);
            for (std::size_t m = 0; m < spatial_.size(); ++m) {
                const SpatialBand* before = i > 0 ? &spatial_bands_[i - 1][m] : nullptr;
                const SpatialBand* after = i + 1 < count ? &spatial_bands_[i + 1][m] : nullptr;
                spatial_bands_[i][m].finish(before, after);
            }
        });
    }

    // Compute the marginals from scores and messages. Returns the largest change, if it is needed.
    float update(int number) {
        const bool is_first = number == 0, is_last = number == call_.num_iterations;
        std::vector<float> changes(bands_.size()), traces(bands_.size());
        in_parallel(index_t(bands_.size()), call_.num_threads, [&](index_t i) {
            Arena& memory = scratch();
            memory.reset();
            float* block = memory.zeros<float>(kTiles * tile_size());
            Band band{i, number, is_first, is_last, block, block,
                      memory.zeros<float>(tile_size()), spatial_bands_[std::size_t(i)], {}};
            const Rows rows = bands_[std::size_t(i)];
            if (!is_last) {
                for (auto& filter : bilateral_) filter->clear(i);
            }
            for (SpatialBand& spatial : band.spatial) {
                if (is_first) spatial.clear();
            }
            for (index_t y = rows.first; y < rows.last; y += 2) {
                update_rows(band, y, int(std::min<index_t>(2, rows.last - y)));
                for (SpatialBand& spatial : band.spatial) {
                    if (!is_last) spatial.end(y);
                }
            }
            changes[std::size_t(i)] = band.change;
            for (index_t lane = 0; lane < L; ++lane) traces[std::size_t(i)] += band.trace[lane];
        });
        for (float of_band : traces) is_finite_ &= of_band == 0;
        float change = is_first ? std::numeric_limits<float>::infinity() : 0;
        for (float of_band : changes) change = std::max(change, of_band);
        return change;
    }

    void update_rows(Band& band, index_t y, int count) {
        for (SpatialBand& spatial : band.spatial) {
            spatial.begin(y);
            if (!band.is_first) spatial.sum_rows(y);
        }
        if (band.is_first) {
            for (index_t x = 0; x < call_.width; x += BlockSums::kColumns) {
                start_block(band, y, x, count);
            }
            return;
        }
        for (index_t x = 0; x < call_.width; x += L) {
            look_ahead(band, y, x, count);
            update_tile(band, tile(band, y, x, count));
        }
    }

    void look_ahead(Band& band, index_t y, index_t x, int count) const {
        constexpr index_t kAhead = 2 * L;
        // At the end, what the next rows may need; those of another band are its thread's to decide.
        const bool is_end = x + kAhead >= call_.width;
        const index_t last = bands_[std::size_t(band.number)].last;
        band.ahead = tile(band, is_end ? std::min(y + 2, last - count) : y,
                          is_end ? 0 : x + kAhead, count);
    }

    Tile tile(const Band& band, index_t y, index_t x, int rows) const {
        return band.is_last ? whole_tile(y, x, rows) : subsampling_.tile(band.update, y, x, rows);
    }

    // The first update of a block: of all pixels, because it decides whether half of them are
    // enough in this update and the others.
    void start_block(Band& band, index_t y, index_t x, int count) {
        const bool is_dense =
            subsampling_.is_possible() && !band.is_last && count == 2 &&
            std::all_of(bilateral_.begin(), bilateral_.end(), [&](auto& filter) {
                return double(filter->block_sum(y, x)) > call_.subsample_above;
            });
        const index_t end = std::min(x + BlockSums::kColumns, call_.width);
        Vec<float> factors[kTiles][2] = {};
        Likeness likeness;
        for (index_t i = 0; x + i * L < end; ++i) {
            look_ahead(band, y, x + i * L, count);
            band.values = band.block + i * tile_size();
            start_tile(band, whole_tile(y, x + i * L, count), factors[i]);
            if (!is_dense) continue;
            const index_t pixels = std::min(L, end - (x + i * L));
            const Vec<float> is_pixel = load_some(kOnes, pixels);
            likeness.add(call_.labels, values_of(band, 0), factors[i][0] * is_pixel,
                         values_of(band, 1), factors[i][1] * is_pixel);
        }
        subsampling_.decide(y, x, is_dense && likeness.is_given(2 * (end - x)));
        for (index_t i = 0; x + i * L < end; ++i) {
            look_ahead(band, y, x + i * L, count);
            band.values = band.block + i * tile_size();
            pass_on(band, tile(band, y, x + i * L, count), factors[i]);
        }
    }

    // Marginals of all pixels without messages.
    AUTOSEG_INLINE void start_tile(Band& band, const Tile& tile, Vec<float>* factors) const {
        const Highest highest =
            scores_.read_woven(tile, band.ahead, band.values, &band.trace);
        for (int row = 0; row < tile.rows; ++row) {
            float* values = values_of(band, row);
            factors[row] =
                reads_caller(band)
                    ? scores_.start<false>(tile.y + row, tile.x, values, highest.row[row])
                    : scores_.start<true>(tile.y + row, tile.x, values, highest.row[row]);
        }
    }

    AUTOSEG_INLINE void update_tile(Band& band, const Tile& tile) {
        add_messages(band, tile);
        Vec<float> factors[2] = {};
        for (int row = tile.first; row < tile.last; ++row) {
            const Scores ahead = scores_.kept(band.ahead.row(row), band.ahead.x);
            float* values = values_of(band, row);
            factors[row] = exponentiate(call_.labels, values, highest_of(call_.labels, values),
                                        reads_caller(band) ? nullptr : &ahead);
        }
        pass_on(band, tile, factors);
    }

    // Write marginals, values * factors, where they are wanted, and hand them to the filters.
    AUTOSEG_INLINE void pass_on(Band& band, const Tile& tile, Vec<float>* factors) {
        if (band.is_last || keeps_marginals()) write(band, factors, tile);
        if (band.is_last) return;
        const float share = tile.is_subsampled() ? 2 : 1;  // of the row that stands for both
        for (int row = 0; row < 2; ++row) factors[row] *= spread(share);
        hand_over(band, tile, factors);
    }

    bool keeps_marginals() const { return call_.tolerance > 0; }
    // Whether the scores are where they came from; where they are kept, marginals are written.
    bool reads_caller(const Band& band) const { return band.is_last || keeps_marginals(); }

    float* values_of(const Band& band, int row) const {
        return band.values + row * round_up(call_.labels, L) * L;
    }

    AUTOSEG_INLINE void add_kept_scores(Band& band, const Tile& tile) const {
        for (int row = tile.first; row < tile.last; ++row) {
            const Scores scores = scores_.kept(tile.y + row, tile.x);
            for (index_t c = 0; c < call_.labels; ++c) {
                add(values_of(band, row) + c * L, scores.label(c));
            }
        }
    }

    static AUTOSEG_INLINE void add(float* at, Vec<float> value) { store(at, load(at) + value); }

    AUTOSEG_INLINE void add_messages(Band& band, const Tile& tile) const {
        if (call_.compatibility != nullptr) return add_mixed_messages(band, tile);
        Highest highest{};
        if (reads_caller(band)) highest = scores_.read_woven(tile, band.ahead, band.values);
        for (int row = tile.first; row < tile.last; ++row) {
            if (reads_caller(band)) {
                const float* values = values_of(band, row);
                const Vec<float> largest = highest.row[row];
                add_spatial(band, tile, row, [=](index_t c) AUTOSEG_INLINED {
                    return ScoreRows::below(largest, load(values + c * L));
                });
            } else {
                const Scores scores = scores_.kept(tile.y + row, tile.x);
                const auto score = [&](index_t c) AUTOSEG_INLINED { return scores.label(c); };
                add_spatial(band, tile, row, score);
            }
            add_bilateral(band, tile, row);
        }
    }

    // With a compatibility, which scores have no part in.
    AUTOSEG_INLINE void add_mixed_messages(Band& band, const Tile& tile) const {
        for (int row = tile.first; row < tile.last; ++row) {
            add_spatial(band, tile, row, [](index_t) AUTOSEG_INLINED { return Vec<float>{}; });
            add_bilateral(band, tile, row);
            mix_labels(call_.compatibility, call_.labels, values_of(band, row));
        }
        if (!reads_caller(band)) return add_kept_scores(band, tile);
        const Highest highest = scores_.read_woven(tile, band.ahead, band.scores);
        for (int row = tile.first; row < tile.last; ++row) {
            const float* scores = band.scores + (values_of(band, row) - band.values);
            for (index_t c = 0; c < call_.labels; ++c) {
                add(values_of(band, row) + c * L,
                    ScoreRows::below(highest.row[row], load(scores + c * L)));
            }
        }
    }

    // Put the spatial messages, and what there is before, into the values of a row.
    template <class Before>
    AUTOSEG_INLINE void add_spatial(Band& band, const Tile& tile, int row, Before&& before) const {
        float* values = values_of(band, row);
        for (std::size_t m = 0; m < spatial_.size(); ++m) {
            Vec<float> factors[2];
            factors[0] = factors[1] = spatial_[m]->after(tile.y, tile.x);
            if (tile.rows == 2) factors[1] = spatial_[m]->after(tile.y + 1, tile.x);
            weave(factors[0], factors[1]);
            const Vec<float> after = row == 0 ? factors[0] : factors[1];
            if (m == 0) {
                band.spatial[m].add_messages(values, tile.x, row, after, before);
            } else {
                const auto so_far = [=](index_t c) AUTOSEG_INLINED { return load(values + c * L); };
                band.spatial[m].add_messages(values, tile.x, row, after, so_far);
            }
        }
        for (index_t c = 0; spatial_.empty() && c < call_.labels; ++c) {
            store(values + c * L, before(c));
        }
    }

    AUTOSEG_INLINE void add_bilateral(Band& band, const Tile& tile, int row) const {
        float* values = values_of(band, row);
        const index_t y = tile.y + row;
        for (const auto& filter : bilateral_) {
            const Vec<float> after = filter->after(y, tile.x);
            for_pieces(call_.labels, [&](auto labels, index_t c) AUTOSEG_INLINED {
                Vec<float> sliced[labels];
                const index_t ahead = c == 0 ? place_ahead(band, *filter, row) : -1;
                filter->template slice<labels>(band.number, y, tile.x, c, ahead, sliced);
                unroll<labels>([&](auto i) AUTOSEG_INLINED {
                    if (c + i < call_.labels) add(values + (c + i) * L, sliced[i] * after);
                });
            });
        }
    }

    void write(Band& band, const Vec<float>* factors, const Tile& tile) const {
        const float* values[2] = {values_of(band, 0), values_of(band, 1)};
        const bool is_compared = keeps_marginals() && !band.is_first;
        const float change = marginals_.write(tile, band.ahead, values, factors, is_compared);
        band.change = std::max(band.change, change);
    }

    // Give values * factors to the filters; the factor of a row that is not computed is 0.
    AUTOSEG_INLINE void hand_over(Band& band, const Tile& tile, const Vec<float>* factors) {
        const bool is_pair = tile.rows == 2;
        for (std::size_t m = 0; m < spatial_.size(); ++m) {
            Vec<float> first = spatial_[m]->before(tile.y, tile.x), second{};
            if (is_pair) {
                second = spatial_[m]->before(tile.y + 1, tile.x);
                weave(first, second);
            }
            first *= factors[0];
            second *= factors[1];
            const float *of_first = values_of(band, 0), *of_second = values_of(band, 1);
            SpatialBand& spatial = band.spatial[m];
            if (tile.last - tile.first == 2) {
                spatial.take<true, true>(tile.x, of_first, first, of_second, second);
            } else if (tile.first == 0) {
                spatial.take<true, false>(tile.x, of_first, first, of_second, second);
            } else {
                spatial.take<false, true>(tile.x, of_first, first, of_second, second);
            }
        }
        for (int row = tile.first; row < tile.last; ++row) {
            const float* from = values_of(band, row);
            for (auto& filter : bilateral_) {
                const Vec<float> before = filter->before(tile.y + row, tile.x) * factors[row];
                for_pieces(call_.labels, [&](auto labels, index_t c) AUTOSEG_INLINED {
                    Vec<float> values[labels];
                    unroll<labels>([&](auto i) AUTOSEG_INLINED {
                        values[i] = load(from + (c + i) * L) * before;
                    });
                    const index_t ahead =
                        band.is_first && c == 0 ? place_ahead(band, *filter, row) : -1;
                    filter->template splat_to<labels>(band.number, tile.y + row, tile.x, c, ahead,
                                                      values);
                });
            }
        }
    }

    index_t place_ahead(const Band& band, const BilateralFilter& filter, int row) const {
        return filter.place(band.ahead.row(row), band.ahead.x);
    }

    const autoseg::CrfCall& call_;
    ScoreRows scores_;
    MarginalRows marginals_;
    Subsampling subsampling_;
    bool is_finite_ = true;
    std::vector<Rows> bands_;
    std::vector<std::unique_ptr<BilateralFilter>> bilateral_;
    std::vector<std::unique_ptr<SpatialFilter>> spatial_;
    std::vector<std::vector<SpatialBand>> spatial_bands_;  // of each band
};

}  // namespace AUTOSEG_ISA
