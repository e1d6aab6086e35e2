// The Gaussian over pixel positions: separable, with nothing beyond the border.
//
// Below a deviation of 2 pixels it is evaluated at every pixel, cut off after 5 deviations, as in
// autoseg/crf/gaussian.py. From there on it works on the sums of 2 x 2 pixels (cells) and is
// interpolated: with variance 1/4 from summing and 3/4 from interpolating, taps on cells of variance
// (std^2 - 1) / 4 cells^2 give the kernel its variance. Cells just outside the image have a value as
// well, so that the border is interpolated like the rest.
#pragma once

#include <cmath>
#include <vector>

#include "arena.hpp"
#include "crf_math.hpp"
#include "kernels.hpp"

namespace AUTOSEG_ISA {

// Factors before and after a filter K with row sums D: see autoseg::Normalisation.
inline void normalisation_factors(autoseg::Normalisation kind, const float* sums, index_t count,
                                  float* before, float* after) {
    for (index_t i = 0; i < count; i += kLanes<float>) {
        const Vec<float> one = spread(1.f), d = load(sums + i);
        const Vec<float> inverse = one / d, root = square_root(inverse);
        const bool symmetric = kind == autoseg::kSymmetric;
        store(before + i, symmetric ? root : kind == autoseg::kBefore ? inverse : one);
        store(after + i, symmetric ? root : kind == autoseg::kAfter ? inverse : one);
    }
}

class SpatialFilter {
public:
    static constexpr index_t L = kLanes<float>;
    static constexpr double kTruncation = 5;
    static constexpr double kSmallestHalved = 2;

    SpatialFilter(double std, index_t labels, index_t height, index_t width,
                  autoseg::Normalisation normalisation, Arena& memory)
        : factor_(std >= kSmallestHalved ? 2 : 1),
          rows_((height + factor_ - 1) / factor_),
          columns_((width + factor_ - 1) / factor_),
          sums_pitch_(round_up(columns_, L) + L),
          pitch_(round_up(columns_ + 2, L) + L) {
        set_taps(std, std::max(height, width));
        over_rows_ = factors(height, normalisation, memory);
        over_columns_ = factors(width, normalisation, memory);
        sums_ = memory.take<float>(labels * rows_ * sums_pitch_);
        messages_ = memory.take<float>(labels * message_rows() * pitch_);
    }

    bool is_halved() const { return factor_ == 2; }

    // What the values of pixels x, ..., x + L - 1 of row y are multiplied by before and after.
    AUTOSEG_INLINE Vec<float> before(index_t y, index_t x) const {
        return load(over_columns_.before + x) * spread(over_rows_.before[y]);
    }
    AUTOSEG_INLINE Vec<float> after(index_t y, index_t x) const {
        return load(over_columns_.after + x) * spread(over_rows_.after[y]);
    }

    // Hand over a row's values, already multiplied, for x a multiple of L, from left to right.
    AUTOSEG_INLINE void set_pixels(index_t label, index_t y, index_t x, Vec<float> values) {
        store(sums_ + (label * rows_ + y) * sums_pitch_ + x, values);
    }
    // The same at half resolution: the sum of the two rows of a row of cells.
    AUTOSEG_INLINE void set_cells(index_t label, index_t row, index_t x, Vec<float> values) {
        Mask<float> even, odd, is_first;
        for (int lane = 0; lane < int(L); ++lane) {
            even[lane] = lane * 2 & (L - 1);
            odd[lane] = even[lane] + 1;
            is_first[lane] = lane < L / 2 ? -1 : 0;
        }
        const Vec<float> sums = permute<float>(values, even) + permute<float>(values, odd);
        // The upper half clears what the next pixels, or the padding, will have.
        store_anywhere(sums_ + (label * rows_ + row) * sums_pitch_ + x / 2,
                       select<float>(is_first, sums, Vec<float>{}));
    }

    // Filtered values at pixels x, ..., x + L - 1 of row y.
    AUTOSEG_INLINE Vec<float> message(index_t label, index_t y, index_t x) const {
        if (factor_ == 1) {
            const float* at = messages_ + (label * rows_ + y) * pitch_ + x;
            fetch_ahead(at);
            return load(at);
        }
        Mask<float> centre, side;
        for (int lane = 0; lane < int(L); ++lane) {
            centre[lane] = lane / 2 + 1;
            side[lane] = lane / 2 + (lane & 1 ? 2 : 0);
        }
        const float* at = messages_ + (label * message_rows() + y / 2 + 1) * pitch_ + x / 2;
        const float* beside = y & 1 ? at + pitch_ : at - pitch_;
        fetch_ahead(at);
        fetch_ahead(beside);
        const Vec<float> near = spread(0.75f), far = spread(0.25f);
        const Vec<float> cells = near * load_anywhere(at) + far * load_anywhere(beside);
        return near * permute<float>(cells, centre) + far * permute<float>(cells, side);
    }

    // Apply the taps to every label; weights: (labels,), factors of the result.
    void blur(const float* weights, index_t labels, int num_threads) {
        constexpr index_t kRows = 16;  // a task's: few enough to share, many enough to stay in cache
        const index_t chunks = (message_rows() + kRows - 1) / kRows;
#pragma omp parallel for num_threads(num_threads) schedule(static)
        for (index_t task = 0; task < labels * chunks; ++task) {
            const index_t label = task / chunks, first = task % chunks * kRows;
            Arena& memory = scratch();
            memory.reset();
            float* row = memory.zeros<float>(pitch_ + 2 * round_up(radius() + 1, L) + L);
            const index_t last = std::min(first + kRows, message_rows());
            for (index_t y = first; y < last; ++y) blur_row(label, y, weights[label], row);
        }
    }

private:
    struct Factors {
        float* before;
        float* after;
    };

    static Arena& scratch() {
        thread_local Arena arena;
        return arena;
    }

    index_t border() const { return factor_ - 1; }  // rows and columns of cells outside the image
    index_t message_rows() const { return rows_ + 2 * border(); }
    index_t radius() const { return index_t(taps_.size()) - 1; }

    void set_taps(double std, index_t length) {
        const double on_cells = factor_ == 1 ? std : std::sqrt((std * std - 1) / 4);
        const double longest = double((length + factor_ - 1) / factor_ + 1);
        const index_t radius = index_t(std::ceil(std::min(kTruncation * on_cells, longest)));
        // Two pixels of a cell, and a Gaussian's mass grows with its deviation.
        const double scale = factor_ == 1 ? 1 : std / (2 * on_cells);
        std::vector<double> taps;
        for (index_t k = 0; k <= radius; ++k) {
            taps.push_back(scale * std::exp(-double(k * k) / (2 * on_cells * on_cells)));
        }
        taps_.assign(taps.begin(), taps.end());
    }

    // Row sums of the filter along one axis and the factors that follow, padded with zeros.
    Factors factors(index_t length, autoseg::Normalisation normalisation, Arena& memory) const {
        const index_t cells = (length + factor_ - 1) / factor_, padded = round_up(length, L);
        std::vector<double> blurred(std::size_t(cells + 2));
        for (index_t cell = -1; cell <= cells; ++cell) {
            const index_t first = std::max<index_t>(0, cell - radius());
            const index_t last = std::min(cells - 1, cell + radius());
            double sum = 0;
            for (index_t from = first; from <= last; ++from) {
                const index_t pixels = std::min(factor_, length - from * factor_);
                sum += double(pixels) * taps_[std::size_t(std::abs(cell - from))];
            }
            blurred[std::size_t(cell + 1)] = sum;
        }
        float* sums = memory.take<float>(padded);
        const Factors result = {memory.zeros<float>(padded), memory.zeros<float>(padded)};
        for (index_t i = 0; i < padded; ++i) {
            const index_t at = std::min(i, length - 1), cell = at / factor_ + 1;
            const double beside = blurred[std::size_t(at & 1 ? cell + 1 : cell - 1)];
            const double centre = blurred[std::size_t(cell)];
            sums[i] = float(factor_ == 1 ? centre : 0.75 * centre + 0.25 * beside);
        }
        normalisation_factors(normalisation, sums, padded, result.before, result.after);
        for (index_t i = length; i < padded; ++i) result.before[i] = result.after[i] = 0;
        return result;
    }

    // row: zeros around the columns of the image, for which the sum over rows is written.
    void blur_row(index_t label, index_t y, float weight, float* row) const {
        const index_t centre = y - border();
        const index_t first = std::max<index_t>(-radius(), -centre);
        const index_t last = std::min(radius(), rows_ - 1 - centre);
        const float* from = sums_ + (label * rows_ + centre) * sums_pitch_;
        const index_t margin = round_up(radius() + 1, L);
        for (index_t x = 0; x < columns_; x += L) {
            Vec<float> sums[2] = {};
            for (index_t k = first; k <= last; ++k) {
                sums[k & 1] += load(from + k * sums_pitch_ + x) * spread(taps_[std::size_t(std::abs(k))]);
            }
            store(row + margin + x, sums[0] + sums[1]);
        }
        float* to = messages_ + (label * message_rows() + y) * pitch_;
        for (index_t x = 0; x < columns_ + 2 * border(); x += L) {
            const float* at = row + margin + x - border();
            Vec<float> sums[2] = {load_anywhere(at) * spread(taps_[0]), Vec<float>{}};
            for (index_t k = 1; k <= radius(); ++k) {
                sums[k & 1] += (load_anywhere(at - k) + load_anywhere(at + k)) *
                               spread(taps_[std::size_t(k)]);
            }
            store(to + x, (sums[0] + sums[1]) * spread(weight));
        }
    }

    index_t factor_, rows_, columns_, sums_pitch_, pitch_;
    std::vector<float> taps_;  // of distance 0, 1, ...
    Factors over_rows_, over_columns_;
    float* sums_;      // (labels, rows, sums_pitch): pixels, or sums of 2 x 2
    float* messages_;  // (labels, message_rows, pitch)
};

}  // namespace AUTOSEG_ISA
