// The source operation: see `autoseg/supernet/source_op.py` for the mathematics.
//
// A task is one (input cell, target): it holds all batch statistics of an edge, so that nothing is
// shared between tasks, no addition depends on the number of threads, and results are the same bit
// for bit. Sums over tasks are formed afterwards, in their order.
#pragma once

#include "convolution.hpp"
#include "pooling.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace AUTOSEG_ISA {

using autoseg::SourceBackward;
using autoseg::SourceForward;
using autoseg::SourceSizes;

// Scratch memory of the calling thread.
inline Arena& thread_arena() {
    thread_local Arena arena;
    return arena;
}

// Scratch memory that all threads of a call share.
inline Arena& call_arena() {
    thread_local Arena arena;
    return arena;
}

// Run f(0), ..., f(count - 1) on the threads of the enclosing parallel region, then wait for all.
template <class F>
void share(index_t count, F&& f) {
#pragma omp for schedule(dynamic, 1)
    for (index_t i = 0; i < count; ++i) f(i);
}

// What both passes evaluate before the edges: packed weights, ReLU of the state, pooled states.
template <class T>
struct SourceInputs {
    const SourcePlan<T>& plan;
    const T* weight;
    const T* state;
    bool transposes;  // pack the weights of the gradient, too
    index_t packed = 0;
    T* weights;     // (T, convs)
    T* transposed;  // the same for the gradient
    T* activated;   // (K, padded map)
    T* pooled;      // (2, K, map)

    SourceInputs(const SourcePlan<T>& source, const T* flat, const T* packed_state,
                 bool for_gradient, Arena& arena)
        : plan(source), weight(flat), state(packed_state), transposes(for_gradient) {
        plan.for_convs([&](const Conv& conv) { packed += plan.packed(conv); });
        const SourceShape& shape = plan.shape;
        weights = arena.take<T>(packed * shape.num_targets);
        transposed = for_gradient ? arena.take<T>(packed * shape.num_targets) : nullptr;
        activated = arena.take<T>(shape.num_inputs * plan.padded_map());
        pooled = arena.take<T>(2 * shape.num_inputs * plan.geometry.map());
    }

    index_t offset(const Conv& conv, index_t target) const {
        index_t at = target * packed;
        plan.for_convs([&](const Conv& other) {
            if (other.row < conv.row) at += plan.packed(other);
        });
        return at;
    }
    const T* input(index_t k) const { return state + k * plan.geometry.map(); }
    const T* relu_of(index_t k) const { return activated + k * plan.padded_map(); }
    T* pool_of(int pool, index_t k) const {
        return pooled + (pool * plan.shape.num_inputs + k) * plan.geometry.map();
    }

    // Number of tasks for `prepare`: a target's weights, or a plane of a state.
    index_t num_tasks() const {
        return plan.shape.num_targets + plan.shape.num_inputs * plan.geometry.planes();
    }

    void prepare(index_t task) const {
        if (task < plan.shape.num_targets) {
            pack(task);
        } else {
            task -= plan.shape.num_targets;
            prepare_plane(task / plan.geometry.planes(), task % plan.geometry.planes());
        }
    }

private:
    void pack(index_t target) const {
        const Geometry<T>& geometry = plan.geometry;
        const index_t channels = geometry.channels;
        plan.for_convs([&](const Conv& conv) {
            const index_t at = offset(conv, target), split = plan.packed_depthwise(conv);
            const T* depthwise = weight + conv.depthwise + target * channels * conv.taps();
            const T* dense = weight + conv.dense + target * channels * channels * conv.dense_taps();
            if (conv.is_depthwise) {
                pack_depthwise(geometry, depthwise, conv.taps(), false, weights + at);
            }
            pack_dense(geometry, dense, conv.dense_taps(), false, weights + at + split);
            if (!transposes) return;
            if (conv.is_depthwise) {
                pack_depthwise(geometry, depthwise, conv.taps(), true, transposed + at);
            }
            pack_dense(geometry, dense, conv.dense_taps(), true, transposed + at + split);
        });
    }

    void prepare_plane(index_t k, index_t plane) const {
        constexpr index_t L = kLanes<T>;
        const Geometry<T>& geometry = plan.geometry;
        const Padded<T> padded = plan.padded();
        const T* from = input(k) + plane * geometry.plane();
        T* to = activated + k * plan.padded_map() + plane * padded.plane;
        std::memset(static_cast<void*>(to), 0, sizeof(T) * std::size_t(padded.plane));
        for (index_t y = 0; y < geometry.height; ++y) {
            T* row = to + padded.row(y, 0);
            for (index_t x = 0; x < geometry.width; ++x) {
                store(row + x * L, relu<T>(load(from + (y * geometry.width + x) * L)));
            }
        }
        for (int pool = 0; pool < 2; ++pool) {
            if (plan.shape.columns[autoseg::kMaxPool + pool] < 0) continue;
            const auto evaluate = pool == 0 ? max_pool<T> : average_pool<T>;
            evaluate(from, pool_of(pool, k) + plane * geometry.plane(), geometry.height,
                     geometry.width);
        }
    }
};

// relu(batch norm(value)), padded. The border of `out` is zero already.
template <class T>
void normalise_relu(const SourcePlan<T>& plan, const T* value, NormStatistics<T> norm, T* out) {
    constexpr index_t L = kLanes<T>;
    const Geometry<T>& geometry = plan.geometry;
    const Padded<T> padded = plan.padded();
    for (index_t plane = 0; plane < geometry.planes(); ++plane) {
        const index_t lane = plane % geometry.blocks * L;
        const Vec<T> mean = load(norm.mean + lane), rstd = load(norm.rstd + lane);
        for (index_t y = 0; y < geometry.height; ++y, value += geometry.width * L) {
            T* row = out + plane * padded.plane + padded.row(y, 0);
            for (index_t x = 0; x < geometry.width; ++x) {
                store(row + x * L, relu<T>((load(value + x * L) - mean) * rstd));
            }
        }
    }
}

template <class T>
SourceSizes source_sizes(const SourceShape& shape) {
    const SourcePlan<T> plan(shape);
    return {plan.geometry.map(), plan.num_statistics(),
            shape.num_inputs * shape.num_targets * plan.num_kept * plan.geometry.map()};
}

// One edge of the forward pass: out += sum over operations of alpha * operation(state).
template <class T>
void forward_edge(const SourcePlan<T>& plan, const SourceForward<T>& call,
                  const SourceInputs<T>& inputs, index_t k, index_t target) {
    constexpr index_t L = kLanes<T>;
    using namespace autoseg;
    const Geometry<T>& geometry = plan.geometry;
    const index_t planes = geometry.planes(), lanes = geometry.lanes();
    Arena& arena = thread_arena();
    arena.reset();
    T* chunk = arena.take<T>(chunk_elements(plan));
    T* rectified = arena.zeros<T>(plan.padded_map());
    T* first = arena.take<T>(geometry.map());
    Moments<T>* moments = reinterpret_cast<Moments<T>*>(
        arena.take<char>(planes * index_t(sizeof(Moments<T>))));

    // Terms of the sum: maps, each with a factor a lane, and one offset a lane.
    const T* maps[9];
    T* factors = arena.take<T>(9 * lanes);
    T* offset = arena.zeros<T>(lanes);
    int num_terms = 0;
    const auto add_term = [&](const T* map, T alpha, NormStatistics<T> norm) {
        maps[num_terms] = map;
        T* factor = factors + num_terms++ * lanes;
        for (index_t lane = 0; lane < lanes; ++lane) {
            factor[lane] = alpha * norm.rstd[lane];
            offset[lane] -= factor[lane] * norm.mean[lane];
        }
    };
    if (const int column = plan.shape.columns[kSkip]; column >= 0) {
        maps[num_terms] = inputs.input(k);
        std::fill_n(factors + num_terms++ * lanes, lanes, plan.alpha(call.alpha, target, column));
    }
    for (int pool = 0; pool < 2; ++pool) {
        const int column = plan.shape.columns[kMaxPool + pool];
        if (column < 0) continue;
        add_term(inputs.pool_of(pool, k), plan.alpha(call.alpha, target, column),
                 NormStatistics<T>(geometry, call.statistics + plan.pool_statistics(pool, k)));
    }
    for (int b = 0; b < plan.num_branches; ++b) {
        const Branch& branch = plan.branches[b];
        const T* in = inputs.relu_of(k);
        for (int i = 0; i < branch.num_convs; ++i) {
            const Conv& conv = branch.convs[i];
            const bool is_last = i + 1 == branch.num_convs;
            T* value = call.kept != nullptr && conv.kept_slot >= 0
                ? call.kept + plan.kept_map(conv, k, target)
                : is_last ? arena.take<T>(geometry.map()) : first;
            for (index_t plane = 0; plane < planes; ++plane) moments[plane] = Moments<T>{};
            convolve(plan, conv, in, inputs.weights + inputs.offset(conv, target), value,
                     call.training ? moments : nullptr, chunk);
            const NormStatistics<T> norm(geometry,
                                         call.statistics + plan.conv_statistics(conv, k, target));
            const index_t feature =
                conv.feature + k * conv.feature_inputs + target * geometry.channels;
            finish_statistics(geometry, call.training ? moments : nullptr,
                              call.running_mean + feature, call.running_var + feature,
                              call.momentum, call.eps, norm);
            if (is_last) {
                add_term(value, plan.alpha(call.alpha, target, branch.column), norm);
            } else {
                normalise_relu(plan, value, norm, rectified);
                in = rectified;
            }
        }
    }
    T* out = call.out + (target * plan.shape.num_inputs + k) * geometry.map();
    for (index_t plane = 0; plane < planes; ++plane) {
        const index_t lane = plane % geometry.blocks * L, at = plane * geometry.plane();
        for (index_t x = 0; x < geometry.pixels; ++x) {
            Vec<T> sum = load(out + at + x * L) + load(offset + lane);
            for (int term = 0; term < num_terms; ++term) {
                sum += load(maps[term] + at + x * L) * load(factors + term * lanes + lane);
            }
            store(out + at + x * L, sum);
        }
    }
}

template <class T>
void source_forward(const SourceShape& shape, const SourceForward<T>& call) {
    const SourcePlan<T> plan(shape);
    Arena& arena = call_arena();
    arena.reset();
    const SourceInputs<T> inputs(plan, call.weight, call.state, false, arena);
#pragma omp parallel num_threads(call.num_threads)
    {
        share(inputs.num_tasks(), [&](index_t task) { inputs.prepare(task); });
        share(2 * shape.num_inputs, [&](index_t task) {
            const int pool = int(task % 2);
            const index_t k = task / 2;
            if (shape.columns[autoseg::kMaxPool + pool] < 0) return;
            Arena& own = thread_arena();
            own.reset();
            const Geometry<T>& geometry = plan.geometry;
            auto* moments = reinterpret_cast<Moments<T>*>(
                own.take<char>(geometry.planes() * index_t(sizeof(Moments<T>))));
            for (index_t plane = 0; plane < geometry.planes(); ++plane) {
                moments[plane] = Moments<T>{};
                if (call.training) {
                    moments[plane].add(inputs.pool_of(pool, k) + plane * geometry.plane(),
                                       geometry.pixels);
                }
            }
            const index_t feature = plan.pool_feature[pool] + k * geometry.channels;
            finish_statistics(geometry, call.training ? moments : nullptr,
                              call.running_mean + feature, call.running_var + feature,
                              call.momentum, call.eps,
                              NormStatistics<T>(geometry, call.statistics +
                                                              plan.pool_statistics(pool, k)));
        });
        share(shape.num_inputs * shape.num_targets, [&](index_t task) {
            forward_edge(plan, call, inputs, task / shape.num_targets, task % shape.num_targets);
        });
    }
}

}  // namespace AUTOSEG_ISA
