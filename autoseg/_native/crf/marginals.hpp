// The marginals where the caller wants them: (labels, H, W), rows in order.
#pragma once

#include "../kernels.hpp"
#include "tile.hpp"
#include "weave.hpp"

namespace AUTOSEG_ISA {

class MarginalRows {
public:
    explicit MarginalRows(const autoseg::CrfCall& call) : call_(call) {}

    // Write a tile's values * factors.
    //
    // ahead: the tile whose place is asked for early. values: of the two woven rows, (labels, L).
    // Returns the largest change of a marginal if it `is_compared` with what is there, else 0.
    float write(const Tile& tile, const Tile& ahead, const float* const* values,
                const Vec<float>* factors, bool is_compared) const {
        constexpr index_t L = kLanes<float>;
        const index_t num_pixels = call_.height * call_.width;
        float* to = place(tile.y, tile.x);
        const float* next[2] = {place(ahead.row(0), ahead.x), place(ahead.row(1), ahead.x)};
        const index_t pixels = std::min(L, call_.width - tile.x);
        Vec<float> change{};
        for (index_t c = 0; c < call_.labels; ++c, to += num_pixels) {
            for (const float*& at : next) {
                __builtin_prefetch(at, 1);
                at += num_pixels;
            }
            Vec<float> rows[2] = {load(values[0] + c * L) * factors[0],
                                  load(values[1] + c * L) * factors[1]};
            if (tile.rows == 2) weave(rows[0], rows[1]);
            for (int row = 0; row < tile.rows; ++row) {
                float* at = to + row * call_.width;
                if (is_compared) {
                    const Vec<float> difference = rows[row] - load_some(at, pixels);
                    change = maximum<float>(change, maximum<float>(difference, -difference));
                }
                pixels == L ? store_anywhere(at, rows[row]) : store_some(at, rows[row], pixels);
            }
        }
        float largest = 0;
        for (index_t i = 0; i < pixels; ++i) largest = std::max(largest, change[i]);
        return largest;
    }

private:
    float* place(index_t y, index_t x) const { return call_.marginals + y * call_.width + x; }

    const autoseg::CrfCall& call_;
};

}  // namespace AUTOSEG_ISA
