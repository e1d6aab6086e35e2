// What a compiled instruction set offers to the bindings.
#pragma once

#include <cstddef>
#include <cstdint>

namespace autoseg {

// Operations that a source operation can hold; alpha's column of each, or -1 where it is absent.
enum Operation {
    kSkip,
    kMaxPool,
    kAveragePool,
    kSeparable3,
    kSeparable5,
    kDilated3,
    kDilated5,
    kAtrous3,
    kAtrous5,
    kNumOperations
};

struct SourceShape {
    std::ptrdiff_t num_images, num_inputs, num_targets, channels, height, width;
    std::ptrdiff_t num_columns;  // of alpha
    int columns[kNumOperations];
};

// Sizes, in elements, of the buffers that callers allocate.
struct SourceSizes {
    std::ptrdiff_t state;       // one input cell's packed state
    std::ptrdiff_t statistics;  // batch means and inverse standard deviations
    std::ptrdiff_t kept;        // maps before batch norm that the backward pass reads
};

template <class T>
struct SourceForward {
    const T* weight;
    T* running_mean;
    T* running_var;
    const T* state;
    const T* alpha;
    T* out;         // contributions are added
    T* statistics;  // written
    T* kept;        // written; null: keep nothing
    double momentum, eps;
    bool training;
    int num_threads;
};

template <class T>
struct SourceBackward {
    const T* weight;
    const T* state;
    const T* alpha;
    const T* statistics;
    const T* kept;  // null: evaluate the maps again
    const T* grad_out;
    T* grad_state;   // added
    T* grad_weight;  // written; null: not wanted
    T* grad_alpha;   // written; null: not wanted
    bool training;
    int num_threads;
};

struct Kernels {
    const char* isa;
    int lanes_f32;
    SourceSizes (*source_sizes_f32)(const SourceShape&);
    SourceSizes (*source_sizes_f64)(const SourceShape&);
    void (*source_forward_f32)(const SourceShape&, const SourceForward<float>&);
    void (*source_forward_f64)(const SourceShape&, const SourceForward<double>&);
    void (*source_backward_f32)(const SourceShape&, const SourceBackward<float>&);
    void (*source_backward_f64)(const SourceShape&, const SourceBackward<double>&);
};

}  // namespace autoseg
