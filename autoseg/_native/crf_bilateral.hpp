// The bilateral filter over an image's pixels: the lattice with a row of labels at each point.
#pragma once

#include "crf_spatial.hpp"
#include "crf_table.hpp"

namespace AUTOSEG_ISA {

class BilateralFilter {
public:
    static constexpr index_t L = kLanes<float>;

    BilateralFilter(const BilateralFilter&) = delete;  // the table refers to the lattice
    BilateralFilter& operator=(const BilateralFilter&) = delete;
    BilateralFilter(const autoseg::CrfCall& call, const autoseg::CrfBilateral& kernel,
                    const std::vector<Rows>& bands, Arena& memory)
        : row_(round_up(call.labels, L)),
          pitch_(round_up(call.width, L)),
          last_block_(call.height * pitch_ - L),
          lattice_(build(call, kernel, bands, pitch_, memory)),
          table_(lattice_, row_, memory),
          weights_(memory.zeros<float>(row_)) {
        std::copy(kernel.weights, kernel.weights + call.labels, weights_);
        const index_t num_pixels = call.height * pitch_;
        before_ = memory.take<float>(num_pixels);
        after_ = memory.take<float>(num_pixels);
        float* sums = after_;
        lattice_.product_of_ones(sums);
        clear_padding(call, sums, 1);
        normalisation_factors(call.normalisation, sums, num_pixels, before_, after_);
        clear_padding(call, before_, 0);
    }

    const float* before(index_t y, index_t x) const { return before_ + y * pitch_ + x; }
    const float* after(index_t y, index_t x) const { return after_ + y * pitch_ + x; }

    void clear(index_t band) { table_.clear(band); }
    void blur(int num_threads) { table_.blur(weights_, false, num_threads); }

    // Ask early for what the pixels two blocks further on are sliced and splatted with: at the end
    // of a row, for what is not needed.
    AUTOSEG_INLINE void fetch(index_t y, index_t x) const {
        const index_t next = std::min(y * pitch_ + x + 2 * L, last_block_);
        __builtin_prefetch(before_ + next);
        __builtin_prefetch(after_ + next);
        __builtin_prefetch(lattice_.simplices(next));
        for (index_t i = 0; i < L; i += 2) __builtin_prefetch(lattice_.weights(next + i));
    }

    // Slice labels block * L, ... of L pixels; values: labels by pixels.
    AUTOSEG_INLINE void slice(index_t band, index_t y, index_t x, index_t block,
                              Vec<float>* values) const {
        const Lattice::Corners* corners = table_.slice_corners(band);
        const std::uint32_t* simplex = lattice_.simplices(y * pitch_ + x);
        const Lattice::Eight* weights = lattice_.weights(y * pitch_ + x);
        const float* table = table_.blurred() + block * L;
        unroll<int(L)>([&](auto pixel) AUTOSEG_INLINED {
            const std::uint32_t* at = corners[simplex[pixel]].of;
            const float* w = weights[pixel].of;
            Vec<float> sum = load(table + at[0]) * spread(w[0]);
            Vec<float> other = load(table + at[1]) * spread(w[1]);
            sum += load(table + at[2]) * spread(w[2]);
            other += load(table + at[3]) * spread(w[3]);
            sum += load(table + at[4]) * spread(w[4]);
            other += load(table + at[5]) * spread(w[5]);
            values[pixel] = sum + other;
        });
        transpose(values);
    }

    // Add labels block * L, ... of L pixels to the band's points; values: labels by pixels, which
    // this changes.
    AUTOSEG_INLINE void splat_to(index_t band, index_t y, index_t x, index_t block,
                                 Vec<float>* values) {
        const Lattice::Corners* corners = table_.splat_corners(band);
        const std::uint32_t* simplex = lattice_.simplices(y * pitch_ + x);
        const Lattice::Eight* weights = lattice_.weights(y * pitch_ + x);
        float* table = table_.splatted(band) + block * L;
        transpose(values);
        for (index_t i = 0; i < L; ++i) {
            // First and second half in turn: neighbours often share a simplex, and a sum has to be
            // stored before the next is added to it.
            const index_t pixel = (i & 1) * (L / 2) + i / 2;
            const std::uint32_t* at = corners[simplex[pixel]].of;
            const float* w = weights[pixel].of;
            unroll<kCorners>([&](auto k) AUTOSEG_INLINED {
                float* to = table + at[k];
                store(to, load(to) + values[pixel] * spread(w[k]));
            });
        }
    }

private:
    static Lattice build(const autoseg::CrfCall& call, const autoseg::CrfBilateral& kernel,
                         const std::vector<Rows>& bands, index_t pitch, Arena& memory) {
        const index_t height = call.height, width = call.width, pixels = height * width;
        double lowest[kDims], highest[kDims];
        const auto feature = [&](int dim, double value) {
            const double std = dim < 2 ? kernel.xy_std : kernel.rgb_std;
            return value / std * call.feature_scale * lattice_scale(dim);
        };
        for (int dim = 0; dim < kDims; ++dim) {
            float low = 0, high = float(dim == 0 ? height : width);
            if (dim >= 2) {
                low = high = call.image[(dim - 2) * pixels];
                for (index_t i = 0; i < pixels; ++i) {
                    const float value = call.image[(dim - 2) * pixels + i];
                    low = value < low ? value : low;
                    high = value > high ? value : high;
                }
            }
            lowest[dim] = feature(dim, low);
            highest[dim] = feature(dim, high);
        }
        const auto fill = [&](index_t y, double* features) {
            for (index_t x = 0; x < width; ++x) {
                features[x] = feature(0, double(y));
                features[pitch + x] = feature(1, double(x));
            }
            for (int dim = 2; dim < kDims; ++dim) {
                const float* colours = call.image + (dim - 2) * pixels + y * width;
                for (index_t x = 0; x < width; ++x) {
                    features[dim * pitch + x] = feature(dim, double(colours[x]));
                }
            }
        };
        return Lattice(bands, width, pitch, call.closed, lowest, highest, memory, call.num_threads,
                       fill);
    }

    void clear_padding(const autoseg::CrfCall& call, float* values, float value) const {
        for (index_t y = 0; y < call.height; ++y) {
            std::fill(values + y * pitch_ + call.width, values + (y + 1) * pitch_, value);
        }
    }

    index_t row_, pitch_;  // floats of a point; pixels of an image row
    index_t last_block_;   // its first pixel
    Lattice lattice_;
    LatticeTable table_;
    float* weights_;
    float* before_;
    float* after_;
};

}  // namespace AUTOSEG_ISA
