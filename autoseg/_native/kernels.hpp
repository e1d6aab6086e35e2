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

// The kernel of each, in the order of Operation; autoseg.supernet.native compares it with the table
// of operations and takes the order from here.
struct OperationKernel {
    const char* name;
    int size, rate;
};
inline constexpr OperationKernel kOperations[kNumOperations] = {
    {"skip_connect", 1, 1},    {"max_pool_3x3", 3, 1}, {"avg_pool_3x3", 3, 1},
    {"sep_conv_3x3", 3, 1},    {"sep_conv_5x5", 5, 1}, {"dil_conv_3x3", 3, 2},
    {"dil_conv_5x5", 5, 2},    {"atrous_conv_3x3", 3, 2}, {"atrous_conv_5x5", 5, 2},
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

// What D = K 1 divides in a pairwise kernel K of the dense CRF: both sides by its root, one, none.
enum Normalisation { kSymmetric, kBefore, kAfter, kNone };
// Their names in that order; autoseg.crf.native takes it from here.
inline constexpr const char* kNormalisations[] = {"symmetric", "before", "after", "none"};

struct CrfBilateral {
    const float* weights;  // (labels,)
    double xy_std, rgb_std;
};

struct CrfSpatial {
    const float* weights;  // (labels,)
    double xy_std;
};

// Mean field inference in one image; pixels in row-major order, labels and colours first.
struct CrfCall {
    std::ptrdiff_t labels, height, width;
    const float* scores;  // (labels, height, width): -U, up to a number for each pixel
    const float* image;          // (3, height, width); null: as bytes
    const std::uint8_t* bytes;   // the same
    float* marginals;     // (labels, height, width), written
    std::ptrdiff_t num_bilateral, num_spatial;
    const CrfBilateral* bilateral;
    const CrfSpatial* spatial;
    const float* compatibility;  // (labels, labels); null: Potts
    Normalisation normalisation;
    bool closed;           // whether the lattice has the neighbours of its points
    double feature_scale;  // of the lattice's features
    int num_iterations;
    double tolerance;  // stop when no probability changes by this much; 0: never
    // Row sum of the bilateral kernels above which an update computes half of the pixels; infinity:
    // never. Has no effect with a tolerance.
    double subsample_above;
    int num_threads;
};

// Pixels that a lattice alone is built over; five features each, divided by their deviations.
struct CrfFeatures {
    const double* features;  // (num_pixels, 5)
    std::ptrdiff_t num_pixels;
    bool closed;
    double feature_scale;
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
    bool (*crf_marginals)(const CrfCall&);  // whether all scores are finite
    void* (*crf_filter_create)(const CrfFeatures&);
    void (*crf_filter_product)(const void* filter, const float* values, float* result,
                               std::ptrdiff_t channels, bool is_adjoint, int num_threads);
    void (*crf_filter_destroy)(void* filter);
    void (*crf_release)();  // what is kept for further calls of this thread
    void (*crf_exp2)(const float* x, std::ptrdiff_t count, float* result);  // x <= 0
    void (*crf_sixth)(const double* x, std::ptrdiff_t count, double* result);
};

}  // namespace autoseg
