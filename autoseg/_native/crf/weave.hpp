// The order in which the CRF keeps pixels, and the blocks where every other pixel is enough.
//
// Rows of pixels go in pairs, and in odd columns the two of a pair are exchanged: a woven row has
// the pixels of one colour of a chessboard. What is kept for pixels is kept in woven rows; callers'
// arrays and the spatial filter have rows of pixels. A last row without a partner is itself.
//
// Where a bilateral kernel gives each pixel of a block many neighbours, and the marginals of the two
// woven rows are alike in the beginning, sums over a block are known well from one of the rows: an
// update then computes one woven row, which stands for both, and the next update the other. The
// last update computes all pixels.
#pragma once

#include <algorithm>
#include <vector>

#include "bands.hpp"
#include "math.hpp"

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
            float& smallest = sums_[std::size_t(y / 2 * per_row_ + block)];
            smallest = y % 2 == 0 ? least : std::min(smallest, least);
        }
    }

    float at(index_t y, index_t x) const {
        return sums_[std::size_t(y / 2 * per_row_ + x / kColumns)];
    }

private:
    index_t per_row_;
    std::vector<float> sums_;
};

// How alike the marginals of the two woven rows of a block are, from windows of 2 x 4 pixels.
//
// What counts is how far the sums of the two colours of a chessboard are apart, beside how far the
// most likely label of a window is ahead of the next: messages that are wrong by a small share of
// this lead do not change what it leads to. Edges, gradients and stripes have like sums of both
// colours; noise from pixel to pixel has not, and where no label leads, nothing is small enough.
class Likeness {
public:
    static constexpr index_t kWindow = 4;
    static constexpr float kShare = 0.2f, kSmallestLead = 0.1f;

    // L pixels of both rows: values, (labels, L), times factors are marginals; factors are 0 where
    // there is no pixel.
    AUTOSEG_INLINE void add(index_t labels, const float* first, Vec<float> first_factor,
                            const float* second, Vec<float> second_factor) {
        constexpr index_t L = kLanes<float>;
        Vec<float> highest{}, next{};
        for (index_t c = 0; c < labels; ++c) {
            const Vec<float> one = load(first + c * L) * first_factor;
            const Vec<float> other = load(second + c * L) * second_factor;
            const Vec<float> sums = window_sums(one - other, one + other);
            const Vec<float> size = maximum<float>(sums, -sums);
            next = maximum<float>(next, minimum<float>(highest, size));
            highest = maximum<float>(highest, size);
        }
        difference_ = maximum<float>(difference_, highest);
        lead_ += highest - next;
    }

    // num_pixels: that were added.
    bool is_given(index_t num_pixels) const {
        float difference = 0, lead = 0;
        for (index_t lane = 0; lane < kLanes<float>; lane += kWindow) {
            difference = std::max(difference, difference_[lane]);
            lead += lead_[lane + 2];
        }
        const float mean_lead = lead / float(num_pixels);
        return difference / float(kWindow) <= kShare * (mean_lead - kSmallestLead);
    }

private:
    // Of each group of four lanes: the sum over one vector's in the first two, and over the other's
    // in the last two.
    static AUTOSEG_INLINE Vec<float> window_sums(Vec<float> a, Vec<float> b) {
        static_assert(kWindow == 4 && kLanes<float> % kWindow == 0);
        Mask<float> even, beside;
        for (int lane = 0; lane < int(kLanes<float>); ++lane) {
            const int in_a = lane / 4 * 4 + lane % 2 * 2;
            even[lane] = lane % 4 < 2 ? in_a : in_a + int(kLanes<float>);
            beside[lane] = lane ^ 1;
        }
        const Vec<float> pairs = permute_two<float>(a, b, even) + permute_two<float>(a, b, even + 1);
        return pairs + permute<float>(pairs, beside);
    }

    // Of windows, in lanes 0 and 1 of each group: the largest difference. In the others: the sum of
    // all leads.
    Vec<float> difference_{}, lead_{};
};

}  // namespace AUTOSEG_ISA
