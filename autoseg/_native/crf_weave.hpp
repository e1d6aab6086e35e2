// The order in which the CRF keeps pixels, and the blocks where every other pixel is enough.
//
// Rows of pixels go in pairs, and in odd columns the two of a pair are exchanged: a woven row has
// the pixels of one colour of a chessboard. What is kept for pixels is kept in woven rows; callers'
// arrays and the spatial filter have rows of pixels. A last row without a partner is itself.
//
// Where a bilateral kernel gives each pixel of a block many neighbours, their sum is known well
// from half of them: an update then computes one woven row, which stands for both, and the next
// update the other. The last update computes all pixels.
#pragma once

#include <algorithm>
#include <vector>

#include "crf_bands.hpp"
#include "crf_math.hpp"

namespace AUTOSEG_ISA {

// From the upper and the lower row of a pair, or its two woven rows, to the others. The first lane
// is that of an even column.
AUTOSEG_INLINE void weave(Vec<float>& first, Vec<float>& second) {
    static_assert(kLanes<float> % 2 == 0);
    Mask<float> is_odd{};
    for (int lane = 1; lane < int(kLanes<float>); lane += 2) is_odd[lane] = -1;
    const Vec<float> before = first;
    first = select<float>(is_odd, second, before);
    second = select<float>(is_odd, before, second);
}

// The row of pixels that a woven row has in a column.
inline index_t woven_row(index_t row, index_t column, index_t height) {
    const index_t partner = row ^ 1;
    return column % 2 == 0 || partner >= height ? row : partner;
}

// For each block of 2 rows and kColumns columns, the smallest row sum of a kernel.
class BlockSums {
public:
    // The same for every instruction set.
    static constexpr index_t kColumns = 16;

    BlockSums(index_t height, index_t width)
        : per_row_((width + kColumns - 1) / kColumns),
          sums_(std::size_t((height + 1) / 2 * per_row_)) {}

    // sums: of the pixels in a woven row of a kernel, (width,). Rows of a pair in order.
    void add(const float* sums, index_t y, index_t width) {
        for (index_t block = 0; block < per_row_; ++block) {
            const index_t last = std::min(width, (block + 1) * kColumns);
            const float least = *std::min_element(sums + block * kColumns, sums + last);
            float& of = sums_[std::size_t(y / 2 * per_row_ + block)];
            of = y % 2 == 0 ? least : std::min(of, least);
        }
    }

    float of(index_t y, index_t x) const {
        return sums_[std::size_t(y / 2 * per_row_ + x / kColumns)];
    }

private:
    index_t per_row_;
    std::vector<float> sums_;
};

}  // namespace AUTOSEG_ISA
