// Depthwise convolutions of one plane: a channel, or an image's channel, a lane.
#pragma once

#include "geometry.hpp"

namespace AUTOSEG_ISA {

// Pixels of a row in turn, Tile at a time. The last tile overlaps the one before it rather than
// being a short one: results are stored, not added, so computing some twice is harmless.
template <class F>
AUTOSEG_INLINE void for_tiles(index_t width, F&& tile) {
    if (width >= 8) {
        index_t x = 0;
        for (; x + 8 <= width; x += 8) tile(std::integral_constant<int, 8>{}, x);
        if (x < width) tile(std::integral_constant<int, 8>{}, width - 8);
    } else if (width >= 4) {
        tile(std::integral_constant<int, 4>{}, index_t(0));
        if (width > 4) tile(std::integral_constant<int, 4>{}, width - 4);
    } else {
        for (index_t x = 0; x < width; ++x) tile(std::integral_constant<int, 1>{}, x);
    }
}

// out[x] = sum over taps of weight[tap] * in[x + tap], for one row.
//
// in: First tap of the row's first pixel, in a padded plane. weight: (Size * Size, L).
template <class T, int Size>
void depthwise_row(const T* in, index_t pitch, index_t dilation, const T* weight, T* out,
                   index_t width) {
    constexpr index_t L = kLanes<T>;
    for_tiles(width, [&](auto tile, index_t x) {
        constexpr int Tile = decltype(tile)::value;
        Vec<T> sums[Tile] = {};
        for (int dy = 0; dy < Size; ++dy) {
            const T* row = in + dy * dilation * pitch + x * L;
            unroll<Size>([&](auto dx) {
                const Vec<T> w = load(weight + (dy * Size + dx) * L);
                const T* tap = row + dx * dilation * L;
                unroll<Tile>([&](auto i) { sums[i] += load(tap + i * L) * w; });
            });
        }
        unroll<Tile>([&](auto i) { store(out + (x + i) * L, sums[i]); });
    });
}

// sums[tap] += sum over a row's pixels of gradient[x] * in[x + tap]. sums: (Size * Size, L).
template <class T, int Size>
void depthwise_weight_gradient_row(const T* in, index_t pitch, index_t dilation, const T* gradient,
                                   T* sums, index_t width) {
    constexpr index_t L = kLanes<T>;
    for (int dy = 0; dy < Size; ++dy) {
        // Two sums a tap, over even and over odd pixels: one alone waits for itself.
        Vec<T> even[Size] = {}, odd[Size] = {};
        const T* row = in + dy * dilation * pitch;
        index_t x = 0;
        for (; x + 2 <= width; x += 2) {
            const Vec<T> g0 = load(gradient + x * L), g1 = load(gradient + (x + 1) * L);
            unroll<Size>([&](auto dx) {
                const T* tap = row + (x + dx * dilation) * L;
                even[dx] += load(tap) * g0;
                odd[dx] += load(tap + L) * g1;
            });
        }
        if (x < width) {
            const Vec<T> g0 = load(gradient + x * L);
            unroll<Size>([&](auto dx) { even[dx] += load(row + (x + dx * dilation) * L) * g0; });
        }
        unroll<Size>([&](auto dx) {
            T* sum = sums + (dy * Size + dx) * L;
            store(sum, load(sum) + even[dx] + odd[dx]);
        });
    }
}

}  // namespace AUTOSEG_ISA
