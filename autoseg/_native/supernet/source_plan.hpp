// What a source operation consists of, and where each part's weights and statistics lie.
#pragma once

#include "dense.hpp"
#include "../kernels.hpp"

namespace AUTOSEG_ISA {

using autoseg::SourceShape;

// A convolution and the batch norm after it: one half of a separable convolution, a dilated one
// (both depthwise, then pointwise), or a full atrous one.
struct Conv {
    int size = 0, dilation = 0;
    bool is_depthwise = false;
    index_t depthwise = 0, dense = 0;  // offsets of target 0 in the flat weight
    index_t feature = 0;         // offset of (input cell 0, target 0) in the running statistics
    index_t feature_inputs = 0;  // elements between input cells there
    index_t kept_slot = -1;      // number of its map among the kept ones, or -1
    index_t row = 0;             // number of the convolution in the source operation

    index_t taps() const { return index_t(size) * size; }
    index_t reach() const { return index_t(dilation) * (size - 1) / 2; }
    index_t dense_taps() const { return is_depthwise ? 1 : taps(); }
};

// A candidate operation that has weights: one convolution, or two with a ReLU between.
struct Branch {
    int column = -1;  // of alpha
    int num_convs = 0;
    Conv convs[2] = {};
};

template <class T>
struct SourcePlan {
    SourceShape shape;
    Geometry<T> geometry;
    ChannelLanes<T> lanes;
    Branch branches[6];
    int num_branches = 0;
    index_t num_convs = 0, num_kept = 0, border = 0;
    index_t pool_feature[2] = {0, 0};  // offsets in the running statistics: maximum, average

    explicit SourcePlan(const SourceShape& source)
        : shape(source),
          geometry(source.num_images, source.channels, source.height, source.width),
          lanes(geometry) {
        using namespace autoseg;
        const index_t targets = shape.num_targets, channels = shape.channels;
        index_t feature = 0, weight = 0;
        for (int pool = 0; pool < 2; ++pool) {
            if (shape.columns[kMaxPool + pool] < 0) continue;
            pool_feature[pool] = feature;
            feature += shape.num_inputs * channels;
        }
        const auto kernel = [](Operation first, int i) { return kOperations[first + i]; };
        const auto stage = [&](Operation first, int number) {
            // Both sizes' depthwise weights, then one stack of pointwise ones, as in SourceLayout.
            const bool present[2] = {shape.columns[first] >= 0, shape.columns[first + 1] >= 0};
            const index_t stacked = index_t(present[0]) + present[1];
            index_t depthwise[2];
            for (int i = 0; i < 2; ++i) {
                depthwise[i] = weight;
                if (present[i]) weight += targets * channels * taps(kernel(first, i));
            }
            index_t position = 0;
            for (int i = 0; i < 2; ++i) {
                if (!present[i]) continue;
                Conv conv{};
                conv.size = kernel(first, i).size;
                conv.dilation = kernel(first, i).rate;
                conv.is_depthwise = true;
                conv.depthwise = depthwise[i];
                conv.dense = weight + position * targets * channels * channels;
                conv.feature = feature + position * targets * channels;
                conv.feature_inputs = stacked * targets * channels;
                // The maps of the cheapest convolutions are not kept but evaluated again.
                const bool is_cheap = i == 0 && number != 0;
                add(branch(shape.columns[first + i]), conv, !is_cheap);
                ++position;
            }
            weight += stacked * targets * channels * channels;
            feature += shape.num_inputs * stacked * targets * channels;
        };
        stage(kSeparable3, 0);
        stage(kSeparable3, 1);
        stage(kDilated3, 1);
        for (int i = 0; i < 2; ++i) {
            const int column = shape.columns[kAtrous3 + i];
            if (column < 0) continue;
            Conv conv{};
            conv.size = kernel(kAtrous3, i).size;
            conv.dilation = kernel(kAtrous3, i).rate;
            conv.dense = weight;
            conv.feature = feature;
            conv.feature_inputs = targets * channels;
            add(branch(column), conv, true);
            weight += targets * channels * channels * conv.taps();
            feature += shape.num_inputs * targets * channels;
        }
    }

    Padded<T> padded() const { return Padded<T>(geometry, border); }
    index_t padded_map() const { return geometry.planes() * padded().plane; }

    T alpha(const T* weights, index_t target, int column) const {
        return column < 0 ? T(0) : weights[target * shape.num_columns + column];
    }

    // Statistics: pools first, then the convolutions of each (input cell, target).
    index_t statistics_row() const { return 2 * geometry.lanes(); }
    index_t num_statistics() const {
        return (2 * shape.num_inputs + shape.num_inputs * shape.num_targets * num_convs) *
               statistics_row();
    }
    index_t pool_statistics(int pool, index_t input) const {
        return (pool * shape.num_inputs + input) * statistics_row();
    }
    index_t conv_statistics(const Conv& conv, index_t input, index_t target) const {
        const index_t edge = input * shape.num_targets + target;
        return (2 * shape.num_inputs + edge * num_convs + conv.row) * statistics_row();
    }
    index_t kept_map(const Conv& conv, index_t input, index_t target) const {
        const index_t edge = input * shape.num_targets + target;
        return (edge * num_kept + conv.kept_slot) * geometry.map();
    }

    // Elements of a convolution's weights for one target, as vectors of lanes.
    index_t packed_depthwise(const Conv& conv) const {
        return conv.is_depthwise ? conv.taps() * geometry.lanes() : 0;
    }
    index_t packed_dense(const Conv& conv) const {
        return conv.dense_taps() * geometry.padded_channels * geometry.lanes();
    }
    index_t packed(const Conv& conv) const { return packed_depthwise(conv) + packed_dense(conv); }

    template <class F>
    void for_convs(F&& f) const {
        for (int b = 0; b < num_branches; ++b) {
            for (int i = 0; i < branches[b].num_convs; ++i) f(branches[b].convs[i]);
        }
    }

private:
    static index_t taps(const autoseg::OperationKernel& kernel) {
        return index_t(kernel.size) * kernel.size;
    }

    Branch& branch(int column) {
        for (int b = 0; b < num_branches; ++b) {
            if (branches[b].column == column) return branches[b];
        }
        branches[num_branches].column = column;
        return branches[num_branches++];
    }

    void add(Branch& branch, Conv conv, bool is_kept) {
        conv.row = num_convs++;
        conv.kept_slot = is_kept ? num_kept++ : -1;
        border = std::max(border, conv.reach());
        branch.convs[branch.num_convs++] = conv;
    }
};

// Depthwise weights (C, taps) -> (blocks, taps, L); flipped for the gradient.
template <class T>
void pack_depthwise(const Geometry<T>& geometry, const T* weight, index_t taps, bool flip, T* out) {
    constexpr index_t L = kLanes<T>;
    for (index_t lane = 0; lane < geometry.lanes(); ++lane) {
        const index_t c = geometry.channel_of(lane);
        for (index_t tap = 0; tap < taps; ++tap) {
            const T value =
                c < geometry.channels ? weight[c * taps + (flip ? taps - 1 - tap : tap)] : T(0);
            out[(lane / L * taps + tap) * L + lane % L] = value;
        }
    }
}

// Dense weights (C_out, C_in, taps) -> (taps, padded C_in, lanes of C_out); for the gradient
// flipped, with the roles of input and output exchanged.
template <class T>
void pack_dense(const Geometry<T>& geometry, const T* weight, index_t taps, bool transpose, T* out) {
    const index_t channels = geometry.channels, lanes = geometry.lanes();
    std::memset(static_cast<void*>(out), 0,
                sizeof(T) * std::size_t(taps * geometry.padded_channels * lanes));
    const index_t copies = geometry.shares_vectors() ? geometry.lane_images : 1;
    for (index_t row = 0; row < channels; ++row) {          // C_out
        for (index_t column = 0; column < channels; ++column) {  // C_in
            const T* from = weight + (row * channels + column) * taps;
            const index_t in = transpose ? row : column, to = transpose ? column : row;
            for (index_t tap = 0; tap < taps; ++tap) {
                const T value = from[transpose ? taps - 1 - tap : tap];
                T* at = out + (tap * geometry.padded_channels + in) * lanes + to;
                for (index_t i = 0; i < copies; ++i) at[i * geometry.padded_channels] = value;
            }
        }
    }
}

// Gradients in the order of `pack_*` (not flipped), summed over the images of a vector and over
// `num` of them that lie `stride` apart.
template <class T>
void unpack_depthwise(const Geometry<T>& geometry, const T* sums, index_t num, index_t stride,
                      index_t taps, T* gradient) {
    constexpr index_t L = kLanes<T>;
    for (index_t c = 0; c < geometry.channels; ++c) {
        for (index_t tap = 0; tap < taps; ++tap) {
            T sum = 0;
            for (index_t lane = c; lane < geometry.lanes(); lane += geometry.padded_channels) {
                const T* at = sums + (lane / L * taps + tap) * L + lane % L;
                for (index_t i = 0; i < num; ++i) sum += at[i * stride];
            }
            gradient[c * taps + tap] = sum;
        }
    }
}

template <class T>
void unpack_dense(const Geometry<T>& geometry, const T* sums, index_t num, index_t stride,
                  index_t taps, T* gradient) {
    const index_t channels = geometry.channels, lanes = geometry.lanes();
    for (index_t row = 0; row < channels; ++row) {
        for (index_t column = 0; column < channels; ++column) {
            for (index_t tap = 0; tap < taps; ++tap) {
                T sum = 0;
                const T* from = sums + (tap * geometry.padded_channels + column) * lanes;
                for (index_t lane = row; lane < lanes; lane += geometry.padded_channels) {
                    for (index_t i = 0; i < num; ++i) sum += from[i * stride + lane];
                }
                gradient[(row * channels + column) * taps + tap] = sum;
            }
        }
    }
}

}  // namespace AUTOSEG_ISA
