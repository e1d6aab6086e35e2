// What an update computes at a time.
#pragma once

#include <algorithm>

#include "../vec.hpp"

namespace AUTOSEG_ISA {

// Rows y and, if the image has it, y + 1; L pixels from x on.
struct Tile {
    index_t y, x;
    int rows;
    int first, last;  // of its woven rows, those to be computed

    bool is_subsampled() const { return last - first < rows; }
    // The i-th row; the last one again if there is none.
    index_t row(int i) const { return y + std::min(i, rows - 1); }
};

// A tile of which every row is computed.
inline Tile whole_tile(index_t y, index_t x, int rows) { return {y, x, rows, 0, rows}; }

}  // namespace AUTOSEG_ISA
