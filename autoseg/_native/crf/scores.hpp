// Where an update reads the scores of the labels.
#pragma once

#include <algorithm>
#include <limits>

#include "math.hpp"
#include "../kernels.hpp"
#include "tile.hpp"
#include "weave.hpp"

namespace AUTOSEG_ISA {

// The scores of L pixels of a row: label c's at + c * step.
struct Scores {
    const float* at;
    std::ptrdiff_t step;
    index_t pixels;

    AUTOSEG_INLINE Vec<float> label(index_t label) const {
        const float* from = at + label * step;
        return pixels == kLanes<float> ? load_anywhere(from) : load_some(from, pixels);
    }
    AUTOSEG_INLINE void fetch(index_t label) const { __builtin_prefetch(at + label * step); }
};

// The largest score of each pixel of a tile's woven rows.
struct Highest {
    Vec<float> row[2];
};

// Labels lie far apart in the caller's order. The first update copies the scores, L pixels by L
// pixels, to where the marginals will be, and only the last reads the caller's again.
//
// The caller's may be large, and messages are small: what is computed with, and kept, is their
// distance from the largest of the pixel, in units of log2. The difference comes first. It is exact
// where it matters, between scores that are close; a product with log2(e) is not.
class ScoreRows {
public:
    static constexpr index_t L = kLanes<float>;

    explicit ScoreRows(const autoseg::CrfCall& call) : call_(call) {}

    AUTOSEG_INLINE Scores of_caller(index_t y, index_t x) const {
        const float* at = call_.scores + y * call_.width + x;
        return {at, call_.height * call_.width, count(x)};
    }

    AUTOSEG_INLINE Scores kept(index_t y, index_t x) const {
        return {place(y, x), count(x), count(x)};
    }

    // Copy the caller's scores of both woven rows of a tile to (2, labels, L), labels rounded up to
    // whole vectors, and ask early for those of the tile ahead. `trace` becomes NaN in a lane in
    // which a score is not finite.
    AUTOSEG_INLINE Highest read_woven(const Tile& tile, const Tile& ahead, float* to,
                                      Vec<float>* trace = nullptr) const {
        float* to_row[2] = {to, to + round_up(call_.labels, L) * L};
        const bool is_pair = tile.rows == 2;
        const Scores upper = of_caller(tile.y, tile.x);
        const Scores lower = of_caller(tile.y + is_pair, tile.x);
        const Scores next[2] = {of_caller(ahead.row(0), ahead.x), of_caller(ahead.row(1), ahead.x)};
        const Vec<float> lowest = spread(-std::numeric_limits<float>::infinity());
        Vec<float> zeros{}, highest[2] = {lowest, lowest};  // x - x is 0 where x is finite
        for (index_t c = 0; c < call_.labels; ++c) {
            for (const Scores& scores : next) scores.fetch(c);
            Vec<float> first = upper.label(c), second = lower.label(c);
            if (trace != nullptr) zeros += (first - first) + (second - second);
            if (is_pair) weave(first, second);
            highest[0] = maximum<float>(highest[0], first);
            highest[1] = maximum<float>(highest[1], second);
            store(to_row[0] + c * L, first);
            store(to_row[1] + c * L, second);
        }
        if (trace != nullptr) *trace += zeros;
        return {{highest[0], highest[1]}};
    }

    static AUTOSEG_INLINE Vec<float> below(Vec<float> highest, Vec<float> score) {
        return (score - highest) * kPerNat;
    }

    // Replace scores as the caller has them, (labels, L), by powers of two, the highest 1; return
    // 1 / their sum. What updates will read is kept, if it is wanted.
    template <bool Keeps>
    AUTOSEG_INLINE Vec<float> start(index_t y, index_t x, float* scores, Vec<float> highest) const {
        float* to = place(y, x);
        const index_t pixels = count(x);
        Vec<float> sum{};
        for (index_t c = 0; c < call_.labels; ++c, to += pixels) {
            const Vec<float> value = below(highest, load(scores + c * L));
            if constexpr (Keeps) {
                __builtin_prefetch(to + 2 * call_.labels * L, 1);
                pixels == L ? store_anywhere(to, value) : store_some(to, value, pixels);
            }
            const Vec<float> power = exp2_not_positive(value);
            sum += power;
            store(scores + c * L, power);
        }
        return spread(1.f) / sum;
    }

private:
    AUTOSEG_INLINE index_t count(index_t x) const { return std::min(L, call_.width - x); }

    AUTOSEG_INLINE float* place(index_t y, index_t x) const {
        return call_.marginals + (y * call_.width + x) * call_.labels;
    }

    const autoseg::CrfCall& call_;
};

}  // namespace AUTOSEG_ISA
