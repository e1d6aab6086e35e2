// Where half of the pixels are enough for an update: in blocks whose pixels are alike.
#pragma once

#include <vector>

#include "../kernels.hpp"
#include "tile.hpp"
#include "weave.hpp"

namespace AUTOSEG_ISA {

class Subsampling {
public:
    explicit Subsampling(const autoseg::CrfCall& call)
        : is_possible_(call.num_bilateral > 0 && call.tolerance == 0),
          blocks_per_row_((call.width + BlockSums::kColumns - 1) / BlockSums::kColumns),
          is_alike_(std::size_t((call.height + 1) / 2 * blocks_per_row_)) {
        for (index_t m = 0; m < call.num_spatial; ++m) {
            is_possible_ &= call.spatial[m].xy_std >= kSmallestStd;
        }
    }

    // Whether any block may do with half of its pixels.
    bool is_possible() const { return is_possible_; }

    // Say whether the pixels of the block at (y, x) are alike.
    void decide(index_t y, index_t x, bool is_alike) { is_alike_[block_at(y, x)] = is_alike; }

    // A tile with both woven rows or, where one is enough, with one of the two in turn.
    Tile tile(int update, index_t y, index_t x, int rows) const {
        if (!is_alike_[block_at(y, x)]) return whole_tile(y, x, rows);
        const int turn = update % 2;
        return {y, x, rows, turn, turn + 1};
    }

private:
    // From there on a Gaussian's sum over one colour of a chessboard is half of that over all
    // pixels, to 4 exp(-pi^2) = 2e-4.
    static constexpr double kSmallestStd = 1;

    std::size_t block_at(index_t y, index_t x) const {
        return std::size_t(y / 2 * blocks_per_row_ + x / BlockSums::kColumns);
    }

    bool is_possible_;
    index_t blocks_per_row_;
    std::vector<std::uint8_t> is_alike_;  // of blocks
};

}  // namespace AUTOSEG_ISA
