// Convolutions that mix channels: pointwise (one tap) and full ones (nine or twenty-five).
//
// An input pixel's channels are read one at a time and spread over a vector of output channels.
// Where a vector holds several images, the channel of each image is spread over that image's lanes
// by a permutation.
#pragma once

#include "depthwise.hpp"

namespace AUTOSEG_ISA {

// Taps that a dense convolution reads: Size x Size, from planes `plane` apart with rows `pitch`
// apart, `dilation` pixels between taps. A pointwise convolution of a run of pixels is Size 1.
struct Taps {
    index_t plane, pitch, dilation;
};

// For each channel of an image the lanes that hold it: input to `permute`.
template <class T>
struct ChannelLanes {
    // At least four: the weight gradient takes four channels at once.
    static constexpr index_t count = std::max<index_t>(4, kLanes<T>);
    Mask<T> channel[count];

    explicit ChannelLanes(const Geometry<T>& geometry) {
        for (index_t c = 0; c < count; ++c) {
            for (index_t lane = 0; lane < kLanes<T>; ++lane) {
                const index_t image = lane / geometry.padded_channels;
                channel[c][lane] =
                    c < geometry.padded_channels ? image * geometry.padded_channels + c : 0;
            }
        }
    }
};

// Several images a vector: out (pixels, L). weight: (taps, padded_channels in, L).
template <class T, int Size>
void dense_row_shared(const Geometry<T>& geometry, const ChannelLanes<T>& lanes, const T* in,
                      Taps taps, const T* weight, T* out, index_t width) {
    constexpr index_t L = kLanes<T>;
    const index_t channels = geometry.padded_channels;
    for_tiles(width, [&](auto tile, index_t x) {
        constexpr int Tile = decltype(tile)::value;
        Vec<T> sums[Tile] = {};
        for (int dy = 0; dy < Size; ++dy) {
            for (int dx = 0; dx < Size; ++dx) {
                const T* tap = in + dy * taps.dilation * taps.pitch + (x + dx * taps.dilation) * L;
                const T* w = weight + (dy * Size + dx) * channels * L;
                Vec<T> pixels[Tile];
                unroll<Tile>([&](auto i) { pixels[i] = load(tap + i * L); });
                for (index_t c = 0; c < channels; ++c) {
                    const Vec<T> wc = load(w + c * L);
                    const Mask<T> spread = lanes.channel[c];
                    unroll<Tile>([&](auto i) { sums[i] += permute<T>(pixels[i], spread) * wc; });
                }
            }
        }
        unroll<Tile>([&](auto i) { store(out + (x + i) * L, sums[i]); });
    });
}

// One image a vector: Blocks output vectors at once. weight: (taps, channels in, blocks, L).
template <class T, int Size, int Blocks>
void dense_row_blocks(const Geometry<T>& geometry, const T* in, Taps taps, const T* weight, T* out,
                      index_t out_plane, index_t width) {
    constexpr index_t L = kLanes<T>;
    const index_t step = geometry.blocks * L;
    for_tiles(width, [&](auto tile, index_t x) {
        constexpr int Whole = decltype(tile)::value;
        constexpr int Tile = Blocks == 4 && Whole > 4 ? 4 : Whole;  // sums have to fit registers
        for (index_t start = x; start < x + Whole; start += Tile) {
            Vec<T> sums[Tile][Blocks] = {};
            const T* w = weight;
            for (int dy = 0; dy < Size; ++dy) {
                for (int dx = 0; dx < Size; ++dx) {
                    const T* tap = in + dy * taps.dilation * taps.pitch +
                                   (start + dx * taps.dilation) * L;
                    for (index_t block = 0; block < geometry.blocks; ++block, tap += taps.plane) {
                        for (index_t c = 0; c < L; ++c, w += step) {
                            Vec<T> wc[Blocks];
                            unroll<Blocks>([&](auto b) { wc[b] = load(w + b * L); });
                            unroll<Tile>([&](auto i) {
                                const Vec<T> value = splat(tap[i * L + c]);
                                unroll<Blocks>([&](auto b) { sums[i][b] += value * wc[b]; });
                            });
                        }
                    }
                }
            }
            unroll<Tile>([&](auto i) {
                unroll<Blocks>([&](auto b) {
                    store(out + b * out_plane + (start + i) * L, sums[i][b]);
                });
            });
        }
    });
}

// out[co][x] = sum over taps and ci of weight[tap][ci][co] * in[ci][x + tap] for one row of one
// group, all its blocks. out: planes `out_plane` apart.
template <class T, int Size>
void dense_row(const Geometry<T>& geometry, const ChannelLanes<T>& lanes, const T* in, Taps taps,
               const T* weight, T* out, index_t out_plane, index_t width) {
    constexpr index_t L = kLanes<T>;
    if (geometry.shares_vectors()) {
        dense_row_shared<T, Size>(geometry, lanes, in, taps, weight, out, width);
        return;
    }
    index_t b = 0;
    const auto some = [&](auto count) {
        constexpr int Blocks = decltype(count)::value;
        for (; b + Blocks <= geometry.blocks; b += Blocks) {
            dense_row_blocks<T, Size, Blocks>(geometry, in, taps, weight + b * L,
                                              out + b * out_plane, out_plane, width);
        }
    };
    some(std::integral_constant<int, 4>{});
    some(std::integral_constant<int, 2>{});
    some(std::integral_constant<int, 1>{});
}

// One image a vector: sums[ci][co] += sum over pixels of in[ci] * gradient[co], for Channels input
// channels that lie in one vector and Blocks output vectors.
template <class T, int Channels, int Blocks>
void dense_weight_gradient_tile(const T* in, const T* gradient, index_t gradient_plane, T* sums,
                                index_t step, index_t width) {
    constexpr index_t L = kLanes<T>;
    Vec<T> tile[Channels][Blocks] = {};
    for (index_t x = 0; x < width; ++x) {
        Vec<T> g[Blocks];
        unroll<Blocks>([&](auto b) { g[b] = load(gradient + b * gradient_plane + x * L); });
        unroll<Channels>([&](auto c) {
            const Vec<T> value = splat(in[x * L + c]);
            unroll<Blocks>([&](auto b) { tile[c][b] += value * g[b]; });
        });
    }
    unroll<Channels>([&](auto c) {
        unroll<Blocks>([&](auto b) {
            T* sum = sums + c * step + b * L;
            store(sum, load(sum) + tile[c][b]);
        });
    });
}

// sums[tap][ci][co] += sum over a row's pixels of in[ci][x + tap] * gradient[co][x].
//
// sums: As `weight` of `dense_row`; where several images share a vector, a lane is (image, co).
template <class T, int Size>
void dense_weight_gradient_row(const Geometry<T>& geometry, const ChannelLanes<T>& lanes,
                               const T* in, Taps taps, const T* gradient, index_t gradient_plane,
                               T* sums, index_t width) {
    constexpr index_t L = kLanes<T>;
    constexpr int Half = L >= 8 ? 8 : L;  // input channels at once
    const index_t step = geometry.blocks * L;
    for (int dy = 0; dy < Size; ++dy) {
        for (int dx = 0; dx < Size; ++dx) {
            const T* tap = in + dy * taps.dilation * taps.pitch + dx * taps.dilation * L;
            T* sum = sums + (dy * Size + dx) * geometry.padded_channels * step;
            if (geometry.shares_vectors()) {
                for (index_t first = 0; first < geometry.padded_channels; first += 4) {
                    Vec<T> tile[4] = {};
                    for (index_t x = 0; x < width; ++x) {
                        const Vec<T> g = load(gradient + x * L), value = load(tap + x * L);
                        unroll<4>([&](auto c) {
                            tile[c] += permute<T>(value, lanes.channel[first + c]) * g;
                        });
                    }
                    // Fewer than four channels an image: the others' lanes repeat channel 0.
                    const index_t count = std::min<index_t>(4, geometry.padded_channels - first);
                    for (index_t c = 0; c < count; ++c) {
                        T* to = sum + (first + c) * L;
                        store(to, load(to) + tile[c]);
                    }
                }
                continue;
            }
            for (index_t block = 0; block < geometry.blocks; ++block, tap += taps.plane) {
                for (index_t first = 0; first < L; first += Half) {
                    T* to = sum + (block * L + first) * step;
                    index_t b = 0;
                    for (; b + 2 <= geometry.blocks; b += 2) {
                        dense_weight_gradient_tile<T, Half, 2>(tap + first,
                                                               gradient + b * gradient_plane,
                                                               gradient_plane, to + b * L, step,
                                                               width);
                    }
                    for (; b < geometry.blocks; ++b) {
                        dense_weight_gradient_tile<T, Half, 1>(tap + first,
                                                               gradient + b * gradient_plane,
                                                               gradient_plane, to + b * L, step,
                                                               width);
                    }
                }
            }
        }
    }
}

}  // namespace AUTOSEG_ISA
