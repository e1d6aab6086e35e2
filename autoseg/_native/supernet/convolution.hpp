// A convolution of a source operation over one map of one (input cell, target), and its gradient.
#pragma once

#include "../arena.hpp"
#include "batch_norm.hpp"
#include "source_plan.hpp"

namespace AUTOSEG_ISA {

// Rows that are processed together: few enough that they stay in the first-level cache.
inline index_t chunk_rows(index_t width) { return std::max<index_t>(1, 128 / width); }

template <class F>
AUTOSEG_INLINE void with_size(int size, F&& f) {
    if (size == 3) {
        f(std::integral_constant<int, 3>{});
    } else {
        f(std::integral_constant<int, 5>{});
    }
}

// Depthwise half of a convolution for rows [y0, y1) of one group: (blocks, rows * W, L).
template <class T>
void depthwise_chunk(const SourcePlan<T>& plan, const Conv& conv, const T* group_in,
                     const T* weight, index_t y0, index_t y1, T* out) {
    constexpr index_t L = kLanes<T>;
    const Geometry<T>& geometry = plan.geometry;
    const Padded<T> padded = plan.padded();
    with_size(conv.size, [&](auto size) {
        constexpr int Size = decltype(size)::value;
        for (index_t block = 0; block < geometry.blocks; ++block) {
            for (index_t y = y0; y < y1; ++y, out += geometry.width * L) {
                depthwise_row<T, Size>(group_in + block * padded.plane + padded.row(y, conv.reach()),
                                       padded.pitch, conv.dilation,
                                       weight + block * conv.taps() * L, out, geometry.width);
            }
        }
    });
}

// The convolution before its batch norm, (groups, blocks, H, W, L), and the moments of each plane.
//
// in: Padded, (groups, blocks, ...). weight: Packed. moments: (groups, blocks), or null.
template <class T>
void convolve(const SourcePlan<T>& plan, const Conv& conv, const T* in, const T* weight, T* out,
              Moments<T>* moments, T* scratch) {
    constexpr index_t L = kLanes<T>;
    const Geometry<T>& geometry = plan.geometry;
    const Padded<T> padded = plan.padded();
    const index_t rows = chunk_rows(geometry.width), width = geometry.width;
    const T* dense = weight + plan.packed_depthwise(conv);
    for (index_t group = 0; group < geometry.groups; ++group) {
        const T* group_in = in + group * geometry.blocks * padded.plane;
        T* group_out = out + group * geometry.blocks * geometry.plane();
        for (index_t y0 = 0; y0 < geometry.height; y0 += rows) {
            const index_t y1 = std::min(y0 + rows, geometry.height), count = (y1 - y0) * width;
            T* chunk = group_out + y0 * width * L;
            if (conv.is_depthwise) {
                depthwise_chunk(plan, conv, group_in, weight, y0, y1, scratch);
                dense_row<T, 1>(geometry, plan.lanes, scratch, Taps{count * L, 0, 0}, dense, chunk,
                                geometry.plane(), count);
            } else {
                with_size(conv.size, [&](auto size) {
                    for (index_t y = y0; y < y1; ++y) {
                        dense_row<T, decltype(size)::value>(
                            geometry, plan.lanes, group_in + padded.row(y, conv.reach()),
                            Taps{padded.plane, padded.pitch, conv.dilation}, dense,
                            group_out + y * width * L, geometry.plane(), width);
                    }
                });
            }
            if (moments == nullptr) continue;
            for (index_t block = 0; block < geometry.blocks; ++block) {
                moments[group * geometry.blocks + block].add(chunk + block * geometry.plane(),
                                                             count);
            }
        }
    }
}

// Elements of scratch memory that `convolve` needs, and a map of zeros that `convolve_gradient`
// needs beside it.
template <class T>
index_t chunk_elements(const SourcePlan<T>& plan) {
    const Geometry<T>& geometry = plan.geometry;
    const index_t rows = std::min(chunk_rows(geometry.width), geometry.height);
    return geometry.blocks * rows * geometry.width * kLanes<T>;
}

// Gradient of batch norm and convolution: adds to `grad_in`, and to the sums of the weights.
//
// in: Padded input. value: The convolution's result. gradient: Upstream, of the normalised map.
// weight: Packed, as in `convolve`; transposed: Packed for the gradient. depthwise_sums and
// dense_sums: Packed, not flipped; null where weights' gradients are not wanted.
// Scratch: chunk, chunk2: `chunk_elements`; border: padded planes of one group, zeros at its border.
template <class T>
void convolve_gradient(const SourcePlan<T>& plan, const Conv& conv, const T* in, const T* value,
                       const T* gradient, const NormGradient<T>& norm, const T* weight,
                       const T* transposed, T* grad_in, T* depthwise_sums, T* dense_sums, T* chunk,
                       T* chunk2, T* border) {
    constexpr index_t L = kLanes<T>;
    const Geometry<T>& geometry = plan.geometry;
    const Padded<T> padded = plan.padded();
    const index_t rows = chunk_rows(geometry.width), width = geometry.width;
    const T* dense = transposed + plan.packed_depthwise(conv);
    const bool wants_weights = dense_sums != nullptr;
    for (index_t group = 0; group < geometry.groups; ++group) {
        const T* group_in = in + group * geometry.blocks * padded.plane;
        const Vec<T> mask = geometry.image_mask(group);
        for (index_t y0 = 0; y0 < geometry.height; y0 += rows) {
            const index_t y1 = std::min(y0 + rows, geometry.height), count = (y1 - y0) * width;
            // Through the batch norm.
            for (index_t block = 0; block < geometry.blocks; ++block) {
                const index_t at =
                    (group * geometry.blocks + block) * geometry.plane() + y0 * width * L;
                const Vec<T> by_gradient = load(norm.by_gradient + block * L) * mask;
                const Vec<T> by_value = load(norm.by_value + block * L) * mask;
                const Vec<T> constant = load(norm.constant + block * L) * mask;
                for (index_t x = 0; x < count; ++x) {
                    const Vec<T> g = load(gradient + at + x * L), v = load(value + at + x * L);
                    store(chunk + (block * count + x) * L, by_gradient * g + by_value * v + constant);
                }
            }
            if (!conv.is_depthwise) {
                for (index_t block = 0; block < geometry.blocks; ++block) {
                    for (index_t y = y0; y < y1; ++y) {
                        std::memcpy(static_cast<void*>(border + block * padded.plane +
                                                       padded.row(y, 0)),
                                    chunk + (block * count + (y - y0) * width) * L,
                                    sizeof(T) * std::size_t(width * L));
                    }
                }
                continue;
            }
            // Through the pointwise convolution, into the padded map.
            if (wants_weights) {
                depthwise_chunk(plan, conv, group_in, weight, y0, y1, chunk2);
                dense_weight_gradient_row<T, 1>(geometry, plan.lanes, chunk2, Taps{count * L, 0, 0},
                                                chunk, count * L, dense_sums, count);
            }
            for (index_t y = y0; y < y1; ++y) {
                dense_row<T, 1>(geometry, plan.lanes, chunk + (y - y0) * width * L,
                                Taps{count * L, 0, 0}, dense, border + padded.row(y, 0),
                                padded.plane, width);
            }
        }
        // Through the taps.
        with_size(conv.size, [&](auto size) {
            constexpr int Size = decltype(size)::value;
            for (index_t y = 0; y < geometry.height; ++y) {
                const index_t from = padded.row(y, conv.reach()), here = padded.row(y, 0);
                if (!conv.is_depthwise) {
                    dense_row<T, Size>(geometry, plan.lanes, border + from,
                                       Taps{padded.plane, padded.pitch, conv.dilation}, dense,
                                       chunk, width * L, width);
                    if (wants_weights) {
                        dense_weight_gradient_row<T, Size>(
                            geometry, plan.lanes, group_in + from,
                            Taps{padded.plane, padded.pitch, conv.dilation}, border + here,
                            padded.plane, dense_sums, width);
                    }
                }
                for (index_t block = 0; block < geometry.blocks; ++block) {
                    T* row = chunk + (conv.is_depthwise ? 0 : block * width * L);
                    const T* plane = border + block * padded.plane;
                    if (conv.is_depthwise) {
                        depthwise_row<T, Size>(plane + from, padded.pitch, conv.dilation,
                                               transposed + block * conv.taps() * L, row, width);
                        if (wants_weights) {
                            depthwise_weight_gradient_row<T, Size>(
                                group_in + block * padded.plane + from, padded.pitch, conv.dilation,
                                plane + here, depthwise_sums + block * conv.taps() * L, width);
                        }
                    }
                    T* to = grad_in + (group * geometry.blocks + block) * geometry.plane() +
                            y * width * L;
                    for (index_t x = 0; x < width; ++x) {
                        store(to + x * L, load(to + x * L) + load(row + x * L));
                    }
                }
            }
        });
    }
}

}  // namespace AUTOSEG_ISA
