// The gradient of the source operation.
#pragma once

#include "source_op.hpp"

namespace AUTOSEG_ISA {

template <class T>
struct SourceGradient {
    const SourcePlan<T>& plan;
    const SourceBackward<T>& call;
    const SourceInputs<T>& inputs;
    bool wants_weights;
    T* edge_gradients;  // (K, T, map): gradients of the activated state
    T* pool_gradients;  // (2, K, map): gradients of the state through pooling
    T* sums;            // (K, T, packed): gradients of the weights
    T* alphas;          // (K, T, columns)

    SourceGradient(const SourcePlan<T>& source, const SourceBackward<T>& backward,
                   const SourceInputs<T>& prepared, Arena& arena)
        : plan(source),
          call(backward),
          inputs(prepared),
          wants_weights(backward.grad_weight != nullptr) {
        const SourceShape& shape = plan.shape;
        const index_t edges = shape.num_inputs * shape.num_targets, map = plan.geometry.map();
        edge_gradients = arena.take<T>(edges * map);
        pool_gradients = arena.take<T>(2 * shape.num_inputs * map);
        sums = wants_weights ? arena.take<T>(edges * inputs.packed) : nullptr;
        alphas = arena.zeros<T>(edges * shape.num_columns);
    }

    index_t edge(index_t k, index_t target) const { return k * plan.shape.num_targets + target; }
    const T* upstream(index_t k, index_t target) const {
        return call.grad_out + (target * plan.shape.num_inputs + k) * plan.geometry.map();
    }
    NormStatistics<T> norm_of(index_t at) const {
        return NormStatistics<T>(plan.geometry, const_cast<T*>(call.statistics) + at);
    }

    // (channels,): sum of the gradient over the batch.
    void channel_sums(const T* gradient, T* lane_sums, T* channels) const {
        const Geometry<T>& geometry = plan.geometry;
        for (index_t plane = 0; plane < geometry.planes(); ++plane) {
            store(lane_sums + plane * kLanes<T>,
                  sum_of(gradient + plane * geometry.plane(), geometry.pixels));
        }
        sum_images(geometry, lane_sums, channels);
    }

    // (channels,): sum over the batch of gradient * (value - mean) * rstd. Returns their sum.
    T channel_products(const T* gradient, const T* value, const NormStatistics<T>* norm,
                       T* lane_sums, T* channels) const {
        constexpr index_t L = kLanes<T>;
        const Geometry<T>& geometry = plan.geometry;
        for (index_t plane = 0; plane < geometry.planes(); ++plane) {
            const index_t lane = plane % geometry.blocks * L;
            const Vec<T> mean = norm ? load(norm->mean + lane) : Vec<T>{};
            const Vec<T> rstd = norm ? load(norm->rstd + lane) : splat(T(1));
            store(lane_sums + plane * L,
                  rstd * centred_product(gradient + plane * geometry.plane(),
                                         value + plane * geometry.plane(), mean, geometry.pixels));
        }
        sum_images(geometry, lane_sums, channels);
        T total = 0;
        for (index_t c = 0; c < geometry.channels; ++c) total += channels[c];
        return total;
    }

    // Everything that one edge adds to gradients, but for the pooled state's.
    void edge_gradient(index_t k, index_t target) const {
        using namespace autoseg;
        const Geometry<T>& geometry = plan.geometry;
        const index_t map = geometry.map(), lanes = geometry.lanes();
        Arena& arena = thread_arena();
        arena.reset();
        Scratch scratch(plan, arena);
        T* first = arena.take<T>(map);
        T* second = arena.take<T>(map);
        T* middle = arena.take<T>(map);
        T* rectified = arena.zeros<T>(plan.padded_map());
        T* sum_gradient = arena.take<T>(geometry.channels);
        T* own_sums = arena.take<T>(geometry.channels);
        T* products = arena.take<T>(geometry.channels);
        T* lane_sums = arena.take<T>(geometry.groups * lanes);
        const NormGradient<T> norm_gradient(geometry,
                                            arena.take<T>(NormGradient<T>::size(geometry)));
        NormGradient<T> through = norm_gradient;

        const T* gradient = upstream(k, target);
        T* grad_in = edge_gradients + edge(k, target) * map;
        std::memset(static_cast<void*>(grad_in), 0, sizeof(T) * std::size_t(map));
        if (wants_weights) {
            std::memset(static_cast<void*>(sums + edge(k, target) * inputs.packed), 0,
                        sizeof(T) * std::size_t(inputs.packed));
        }
        T* grad_alpha = alphas + edge(k, target) * plan.shape.num_columns;
        channel_sums(gradient, lane_sums, sum_gradient);

        if (call.grad_alpha != nullptr) {
            if (const int column = plan.shape.columns[kSkip]; column >= 0) {
                grad_alpha[column] =
                    channel_products(gradient, inputs.input(k), nullptr, lane_sums, products);
            }
            for (int pool = 0; pool < 2; ++pool) {
                const int column = plan.shape.columns[kMaxPool + pool];
                if (column < 0) continue;
                const NormStatistics<T> norm = norm_of(plan.pool_statistics(pool, k));
                grad_alpha[column] = channel_products(gradient, inputs.pool_of(pool, k), &norm,
                                                      lane_sums, products);
            }
        }
        for (int b = 0; b < plan.num_branches; ++b) {
            const Branch& branch = plan.branches[b];
            const T alpha = plan.alpha(call.alpha, target, branch.column);
            const Conv& last = branch.convs[branch.num_convs - 1];
            const Conv& conv = branch.convs[0];
            const NormStatistics<T> last_norm = norm_of(plan.conv_statistics(last, k, target));
            const T* in = inputs.relu_of(k);
            const T* value = nullptr;  // of the first of two convolutions
            if (branch.num_convs == 2) {
                value = map_of(conv, k, target, in, first, scratch);
                normalise_relu(plan, value, norm_of(plan.conv_statistics(conv, k, target)),
                               rectified);
                in = rectified;
            }
            const T* last_value = map_of(last, k, target, in, second, scratch);
            grad_alpha[branch.column] =
                channel_products(gradient, last_value, &last_norm, lane_sums, products);
            through.set(geometry, last_norm, alpha, sum_gradient, products, call.training);
            if (branch.num_convs == 1) {
                back(last, k, target, in, last_value, gradient, through, grad_in, scratch);
                continue;
            }
            std::memset(static_cast<void*>(middle), 0, sizeof(T) * std::size_t(map));
            back(last, k, target, in, last_value, gradient, through, middle, scratch);
            const NormStatistics<T> norm = norm_of(plan.conv_statistics(conv, k, target));
            relu_gradient(value, norm, middle);
            channel_sums(middle, lane_sums, own_sums);
            channel_products(middle, value, &norm, lane_sums, products);
            through.set(geometry, norm, T(1), own_sums, products, call.training);
            back(conv, k, target, inputs.relu_of(k), value, middle, through, grad_in, scratch);
        }
    }

    // Gradient of one input cell's state through one pooling operation, over all targets.
    void pool_gradient(int pool, index_t k) const {
        constexpr index_t L = kLanes<T>;
        const Geometry<T>& geometry = plan.geometry;
        const int column = plan.shape.columns[autoseg::kMaxPool + pool];
        if (column < 0) return;
        Arena& arena = thread_arena();
        arena.reset();
        T* gradient = arena.zeros<T>(geometry.map());
        T* lane_sums = arena.take<T>(geometry.groups * geometry.lanes());
        T* sum_gradient = arena.take<T>(geometry.channels);
        T* products = arena.take<T>(geometry.channels);
        NormGradient<T> through(geometry, arena.take<T>(NormGradient<T>::size(geometry)));
        for (index_t target = 0; target < plan.shape.num_targets; ++target) {
            const Vec<T> alpha = splat(plan.alpha(call.alpha, target, column));
            const T* from = upstream(k, target);
            for (index_t i = 0; i < geometry.map(); i += L) {
                store(gradient + i, load(gradient + i) + alpha * load(from + i));
            }
        }
        const NormStatistics<T> norm = norm_of(plan.pool_statistics(pool, k));
        const T* value = inputs.pool_of(pool, k);
        channel_sums(gradient, lane_sums, sum_gradient);
        channel_products(gradient, value, &norm, lane_sums, products);
        through.set(geometry, norm, T(1), sum_gradient, products, call.training);
        T* grad_in = pool_gradients + (pool * plan.shape.num_inputs + k) * geometry.map();
        std::memset(static_cast<void*>(grad_in), 0, sizeof(T) * std::size_t(geometry.map()));
        for (index_t plane = 0; plane < geometry.planes(); ++plane) {
            const index_t lane = plane % geometry.blocks * L, at = plane * geometry.plane();
            const Vec<T> mask = geometry.image_mask(plane / geometry.blocks);
            const Vec<T> by_gradient = load(through.by_gradient + lane) * mask;
            const Vec<T> by_value = load(through.by_value + lane) * mask;
            const Vec<T> constant = load(through.constant + lane) * mask;
            for (index_t x = 0; x < geometry.pixels; ++x) {
                T* g = gradient + at + x * L;
                store(g, by_gradient * load(g) + by_value * load(value + at + x * L) + constant);
            }
            if (pool == 0) {
                max_pool_gradient(inputs.input(k) + at, value + at, gradient + at, grad_in + at,
                                  geometry.height, geometry.width);
            } else {
                average_pool_gradient(gradient + at, grad_in + at, geometry.height, geometry.width);
            }
        }
    }

    // Add up what edges and pools found for one plane of one input cell's state.
    void state_gradient(index_t k, index_t plane) const {
        constexpr index_t L = kLanes<T>;
        using namespace autoseg;
        const Geometry<T>& geometry = plan.geometry;
        const index_t at = plane * geometry.plane(), map = geometry.map();
        const T* state = inputs.input(k) + at;
        T* out = call.grad_state + k * map + at;
        for (index_t i = 0; i < geometry.plane(); i += L) {
            Vec<T> activated{}, direct{};
            for (index_t target = 0; target < plan.shape.num_targets; ++target) {
                activated += load(edge_gradients + edge(k, target) * map + at + i);
                direct += splat(plan.alpha(call.alpha, target, plan.shape.columns[kSkip])) *
                          load(upstream(k, target) + at + i);
            }
            for (int pool = 0; pool < 2; ++pool) {
                if (plan.shape.columns[kMaxPool + pool] < 0) continue;
                direct += load(pool_gradients + (pool * plan.shape.num_inputs + k) * map + at + i);
            }
            const Mask<T> positive = load(state + i) > Vec<T>{};
            store(out + i, load(out + i) + direct + select<T>(positive, activated, Vec<T>{}));
        }
    }

    // Sum the gradients of one target's weights over the input cells.
    void weight_gradient(index_t target) const {
        const Geometry<T>& geometry = plan.geometry;
        const index_t channels = geometry.channels;
        const index_t stride = plan.shape.num_targets * inputs.packed;
        plan.for_convs([&](const Conv& conv) {
            const T* from = sums + edge(0, target) * inputs.packed + inputs.offset(conv, 0);
            if (conv.is_depthwise) {
                unpack_depthwise(
                    geometry, from, plan.shape.num_inputs, stride, conv.taps(),
                    call.grad_weight + conv.depthwise + target * channels * conv.taps());
            }
            unpack_dense(geometry, from + plan.packed_depthwise(conv), plan.shape.num_inputs, stride,
                         conv.dense_taps(),
                         call.grad_weight + conv.dense +
                             target * channels * channels * conv.dense_taps());
        });
    }

    void alpha_gradient() const {
        const index_t edges = plan.shape.num_targets * plan.shape.num_columns;
        for (index_t i = 0; i < edges; ++i) {
            T sum = 0;
            for (index_t k = 0; k < plan.shape.num_inputs; ++k) sum += alphas[k * edges + i];
            call.grad_alpha[i] = sum;
        }
    }

private:
    struct Scratch {
        T* chunk;
        T* chunk2;
        T* border;

        Scratch(const SourcePlan<T>& plan, Arena& arena)
            : chunk(arena.take<T>(chunk_elements(plan))),
              chunk2(arena.take<T>(chunk_elements(plan))),
              border(arena.zeros<T>(plan.geometry.blocks * plan.padded().plane)) {}
    };

    // A convolution's result: kept, or evaluated again into `fresh`.
    const T* map_of(const Conv& conv, index_t k, index_t target, const T* in, T* fresh,
                    const Scratch& scratch) const {
        if (call.kept != nullptr && conv.kept_slot >= 0) {
            return call.kept + plan.kept_map(conv, k, target);
        }
        convolve<T>(plan, conv, in, inputs.weights + inputs.offset(conv, target), fresh, nullptr,
                    scratch.chunk);
        return fresh;
    }

    void back(const Conv& conv, index_t k, index_t target, const T* in, const T* value,
              const T* gradient, const NormGradient<T>& norm, T* grad_in,
              const Scratch& scratch) const {
        const index_t at = inputs.offset(conv, target);
        T* depthwise = nullptr;
        T* dense = nullptr;
        if (wants_weights) {
            depthwise = sums + edge(k, target) * inputs.packed + inputs.offset(conv, 0);
            dense = depthwise + plan.packed_depthwise(conv);
        }
        convolve_gradient(plan, conv, in, value, gradient, norm, inputs.weights + at,
                          inputs.transposed + at, grad_in, depthwise, dense, scratch.chunk,
                          scratch.chunk2, scratch.border);
    }

    // gradient *= (normalised value > 0)
    void relu_gradient(const T* value, NormStatistics<T> norm, T* gradient) const {
        constexpr index_t L = kLanes<T>;
        const Geometry<T>& geometry = plan.geometry;
        for (index_t plane = 0; plane < geometry.planes(); ++plane) {
            const index_t lane = plane % geometry.blocks * L, at = plane * geometry.plane();
            const Vec<T> mean = load(norm.mean + lane), rstd = load(norm.rstd + lane);
            for (index_t i = at; i < at + geometry.plane(); i += L) {
                // The same expression as in `normalise_relu`, so that both agree on every sign.
                const Mask<T> positive = (load(value + i) - mean) * rstd > Vec<T>{};
                store(gradient + i, select<T>(positive, load(gradient + i), Vec<T>{}));
            }
        }
    }
};

template <class T>
void source_backward(const SourceShape& shape, const SourceBackward<T>& call) {
    const SourcePlan<T> plan(shape);
    Arena& arena = call_arena();
    arena.reset();
    const SourceInputs<T> inputs(plan, call.weight, call.state, true, arena);
    const SourceGradient<T> gradient(plan, call, inputs, arena);
    const index_t edges = shape.num_inputs * shape.num_targets;
#pragma omp parallel num_threads(call.num_threads)
    {
        share(inputs.num_tasks(), [&](index_t task) { inputs.prepare(task); });
        share(edges + 2 * shape.num_inputs, [&](index_t task) {
            if (task < edges) {
                gradient.edge_gradient(task / shape.num_targets, task % shape.num_targets);
            } else {
                gradient.pool_gradient(int((task - edges) % 2), (task - edges) / 2);
            }
        });
        const index_t planes = plan.geometry.planes();
        const index_t targets = call.grad_weight != nullptr ? shape.num_targets : 0;
        share(shape.num_inputs * planes + targets, [&](index_t task) {
            if (task < targets) {
                gradient.weight_gradient(task);
            } else {
                gradient.state_gradient((task - targets) / planes, (task - targets) % planes);
            }
        });
    }
    if (call.grad_alpha != nullptr) gradient.alpha_gradient();
}

}  // namespace AUTOSEG_ISA
