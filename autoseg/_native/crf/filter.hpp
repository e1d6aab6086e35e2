// The lattice alone: products with vectors of any features' pixels, for gradients.
#pragma once

#include "table.hpp"

namespace AUTOSEG_ISA {

class FeatureFilter {
public:
    static constexpr index_t L = kLanes<float>;
    static constexpr index_t kWidth = 64;  // pixels of a "row"; a multiple of L

    FeatureFilter(const autoseg::CrfFeatures& call)
        : num_pixels_(call.num_pixels), lattice_(build(call, memory_)) {}

    // result = A values or, if `is_adjoint`, its transpose; both (pixels, channels).
    void product(const float* values, float* result, index_t channels, bool is_adjoint,
                 int num_threads) const {
        Arena memory(&autoseg::MemoryAccount::shared());
        LatticeTable table(lattice_, round_up(channels, L), memory);
        in_parallel(lattice_.num_bands(), num_threads, [&](index_t band) {
            table.clear(band);
            for_pixels(band, [&](index_t i) {
                const std::uint32_t* at = table.splat_corners(band)[*lattice_.simplices(i)].corner;
                const float* weights = lattice_.weights(i)->corner;
                for (index_t c = 0; c < channels; c += L) {
                    const Vec<float> value =
                        load_some(values + i * channels + c, std::min(L, channels - c));
                    for (int k = 0; k < kCorners; ++k) {
                        float* to = table.splatted() + at[k] + c;
                        store(to, load(to) + value * spread(weights[k]));
                    }
                }
            });
        });
        table.blur(is_adjoint, num_threads);
        in_parallel(lattice_.num_bands(), num_threads, [&](index_t band) {
            for_pixels(band, [&](index_t i) {
                const std::uint32_t* at = table.slice_corners(band)[*lattice_.simplices(i)].corner;
                const float* weights = lattice_.weights(i)->corner;
                for (index_t c = 0; c < channels; c += L) {
                    Vec<float> sum{};
                    for (int k = 0; k < kCorners; ++k) {
                        sum += load(table.blurred() + at[k] + c) * spread(weights[k]);
                    }
                    store_some(result + i * channels + c, sum, std::min(L, channels - c));
                }
            });
        });
    }

private:
    static Lattice build(const autoseg::CrfFeatures& call, Arena& memory) {
        const index_t pixels = call.num_pixels, rows = (pixels + kWidth - 1) / kWidth;
        double lowest[kDims], highest[kDims];
        const auto feature = [&](index_t pixel, int dim) {
            return call.features[pixel * kDims + dim] * call.feature_scale * lattice_scale(dim);
        };
        for (int dim = 0; dim < kDims; ++dim) {
            lowest[dim] = highest[dim] = feature(0, dim);
            for (index_t i = 1; i < pixels; ++i) {
                lowest[dim] = std::min(lowest[dim], feature(i, dim));
                highest[dim] = std::max(highest[dim], feature(i, dim));
            }
        }
        std::vector<Rows> bands;
        const index_t num_bands = std::clamp<index_t>(call.num_threads, 1, rows);
        for (index_t i = 0; i < num_bands; ++i) bands.push_back(part_of(rows, i, num_bands));
        const auto fill = [&](index_t y, double* features) {
            for (index_t x = 0; x < kWidth; ++x) {
                // Past the end the last pixel again, which makes no new point.
                const index_t pixel = std::min(y * kWidth + x, pixels - 1);
                for (int dim = 0; dim < kDims; ++dim) {
                    features[dim * kWidth + x] = feature(pixel, dim);
                }
            }
        };
        return Lattice(bands, kWidth, kWidth, call.closed, lowest, highest, memory,
                       call.num_threads, fill);
    }

    template <class F>
    void for_pixels(index_t band, F&& f) const {
        const Rows rows = lattice_.rows(band);
        const index_t last = std::min(rows.last * kWidth, num_pixels_);
        for (index_t i = rows.first * kWidth; i < last; ++i) f(i);
    }

    index_t num_pixels_;
    Arena memory_{&autoseg::MemoryAccount::shared()};
    Lattice lattice_;
};

}  // namespace AUTOSEG_ISA
