// The Gaussian over pixel positions: separable, with nothing beyond the border.
//
// Below a deviation of 2 pixels it is evaluated at every pixel, as in autoseg/crf/gaussian.py. From
// there on it works at half resolution, on cells of 2 x 2 pixels: a pixel's value is shared between
// the two cells next to it along each axis, 3/4 and 1/4, and its message is interpolated from them
// in the same way. Either has a variance of 3/4 pixels^2; taps on cells of variance
// (std^2 - 3/2) / 4 cells^2 give the kernel its own. Cells just outside the image have a value as
// well, so that the border is treated like the rest.
//
// What is kept is blurred along the rows already. A message sums over the rows above and below.
#pragma once

#include <cmath>
#include <vector>

#include "../arena.hpp"
#include "bands.hpp"
#include "math.hpp"
#include "../kernels.hpp"

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

// The kernel, and the image that it has blurred along the rows.
class SpatialFilter {
public:
    static constexpr index_t L = kLanes<float>;
    // Deviations after which the taps end: as in gaussian.py; at half resolution 5e-4 of the mass
    // lie beyond, less than interpolating moves.
    static constexpr double kTruncation = 5, kHalvedTruncation = 3.5;
    static constexpr double kSmallestHalved = 2;
    static constexpr index_t kTogether = 4;  // rows that messages are summed at together
    static constexpr float kNear = 0.75f, kFar = 0.25f;  // shares of the two cells next to a pixel

    SpatialFilter(const autoseg::CrfCall& call, const autoseg::CrfSpatial& kernel, Arena& memory)
        : factor_(kernel.xy_std >= kSmallestHalved ? 2 : 1),
          labels_(call.labels),
          num_rows_(cells(call.height) + 2 * border()),
          // A tile reads a vector from half its place on.
          pitch_(round_up(cells(call.width) + 2 * border(), L) + (factor_ - 1) * L) {
        set_taps(kernel.xy_std, std::max(call.height, call.width));
        for (index_t c = 0; c < labels_; ++c) weights_.push_back(kernel.weights[c] * kPerNat);
        over_rows_ = factors(call.height, call.normalisation, memory);
        over_columns_ = factors(call.width, call.normalisation, memory);
        values_ = memory.take<float>(num_rows_ * row_size());
    }

    bool is_halved() const { return factor_ == 2; }
    index_t factor() const { return factor_; }  // pixels of a row to a cell
    index_t border() const { return factor_ - 1; }  // rows and columns of cells outside the image
    index_t radius() const { return index_t(taps_.size()) - kTogether; }
    index_t labels() const { return labels_; }
    index_t num_rows() const { return num_rows_; }
    index_t pitch() const { return pitch_; }  // of a label's row
    index_t row_size() const { return labels_ * pitch_; }
    float weight(index_t label) const { return weights_[std::size_t(label)]; }
    // At a distance below radius() + kTogether; 0 beyond the radius.
    float tap(index_t distance) const { return taps_[std::size_t(std::abs(distance))]; }

    // What the values of pixels x, ..., x + L - 1 of row y are multiplied by before and after.
    AUTOSEG_INLINE Vec<float> before(index_t y, index_t x) const {
        return load(over_columns_.before + x) * spread(over_rows_.before[y]);
    }
    AUTOSEG_INLINE Vec<float> after(index_t y, index_t x) const {
        return load(over_columns_.after + x) * spread(over_rows_.after[y]);
    }

    // Row 0 is the first one, outside the image where there is a border: (labels, pitch).
    float* row(index_t number) const { return values_ + number * row_size(); }

private:
    struct Factors {
        float* before;
        float* after;
    };

    index_t cells(index_t pixels) const { return (pixels + factor_ - 1) / factor_; }

    void set_taps(double std, index_t length) {
        const double on_cells = factor_ == 1 ? std : std::sqrt((std * std - 1.5) / 4);
        const double longest = double(cells(length) + 1);
        const double truncation = factor_ == 1 ? kTruncation : kHalvedTruncation;
        const index_t radius = index_t(std::ceil(std::min(truncation * on_cells, longest)));
        // Two pixels a cell, and a Gaussian's mass grows with its deviation.
        const double scale = factor_ == 1 ? 1 : std / (2 * on_cells);
        for (index_t k = 0; k <= radius; ++k) {
            taps_.push_back(float(scale * std::exp(-double(k * k) / (2 * on_cells * on_cells))));
        }
        taps_.resize(taps_.size() + kTogether - 1, 0.f);
    }

    // Row sums of the filter along one axis and the factors that follow, padded with zeros.
    Factors factors(index_t length, autoseg::Normalisation normalisation, Arena& memory) const {
        const index_t count = cells(length) + 2 * border(), padded = round_up(length, L);
        std::vector<double> shared(static_cast<std::size_t>(count), 0.0), blurred(shared);
        const auto beside = [&](index_t i) { return i / 2 + (i & 1 ? 2 : 0); };
        for (index_t i = 0; i < length; ++i) {
            shared[std::size_t(i / factor_ + border())] += factor_ == 1 ? 1 : kNear;
            if (factor_ == 2) shared[std::size_t(beside(i))] += kFar;
        }
        for (index_t cell = 0; cell < count; ++cell) {
            const index_t first = std::max<index_t>(0, cell - radius());
            const index_t last = std::min(count - 1, cell + radius());
            for (index_t from = first; from <= last; ++from) {
                const double factor = tap(from - cell);
                blurred[std::size_t(cell)] += factor * shared[std::size_t(from)];
            }
        }
        float* sums = memory.take<float>(padded);
        const Factors result = {memory.zeros<float>(padded), memory.zeros<float>(padded)};
        for (index_t i = 0; i < padded; ++i) {
            const index_t at = std::min(i, length - 1);
            const double centre = blurred[std::size_t(at / factor_ + border())];
            sums[i] = float(factor_ == 1
                ? centre : kNear * centre + kFar * blurred[std::size_t(beside(at))]);
        }
        normalisation_factors(normalisation, sums, padded, result.before, result.after);
        for (index_t i = length; i < padded; ++i) result.before[i] = result.after[i] = 0;
        return result;
    }

    index_t factor_, labels_, num_rows_, pitch_;
    std::vector<float> taps_;          // of distance 0, 1, ..., and zeros: see `tap`
    std::vector<float> weights_;       // of the labels, in units of log2
    Factors over_rows_, over_columns_;
    // Blurred along the rows and weighted, (num_rows, labels, pitch): there from the first update on.
    float* values_;
};

}  // namespace AUTOSEG_ISA
