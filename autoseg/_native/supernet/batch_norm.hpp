// Batch norm without affine parameters, and its gradient.
#pragma once

#include <cmath>

#include "geometry.hpp"

namespace AUTOSEG_ISA {

// Mean and sum of squared deviations of each lane over the pixels seen so far.
//
// Runs of pixels are merged by the formula of Chan, Golub and LeVeque 1979; the difference of two
// large sums, which cancels in single precision, never occurs.
template <class T>
struct Moments {
    Vec<T> mean{}, deviations{};
    index_t count = 0;

    void add(const T* values, index_t num) {
        constexpr index_t L = kLanes<T>;
        Vec<T> sums[4] = {};
        index_t x = 0;
        for (; x + 4 <= num; x += 4) {
            unroll<4>([&](auto i) { sums[i] += load(values + (x + i) * L); });
        }
        for (; x < num; ++x) sums[0] += load(values + x * L);
        const Vec<T> run_mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) * splat(T(1) / T(num));
        Vec<T> squares[4] = {};
        for (x = 0; x + 4 <= num; x += 4) {
            unroll<4>([&](auto i) {
                const Vec<T> d = load(values + (x + i) * L) - run_mean;
                squares[i] += d * d;
            });
        }
        for (; x < num; ++x) {
            const Vec<T> d = load(values + x * L) - run_mean;
            squares[0] += d * d;
        }
        const T total = T(count + num);
        const Vec<T> delta = run_mean - mean;
        mean += delta * splat(T(num) / total);
        deviations += (squares[0] + squares[1]) + (squares[2] + squares[3]) +
                      delta * delta * splat(T(count) * T(num) / total);
        count += num;
    }
};

// Mean and 1 / standard deviation of each lane of a group: 2 * lanes() elements.
template <class T>
struct NormStatistics {
    T* mean;
    T* rstd;

    NormStatistics(const Geometry<T>& geometry, T* base)
        : mean(base), rstd(base + geometry.lanes()) {}
};

// Merge the moments of all planes into each channel's mean and variance over the batch, in training
// also into the running statistics; write them, or the running ones, for each lane.
//
// moments: (groups, blocks); null in evaluation.
template <class T>
void finish_statistics(const Geometry<T>& geometry, const Moments<T>* moments, T* running_mean,
                       T* running_var, double momentum, double eps, NormStatistics<T> result) {
    constexpr index_t L = kLanes<T>;
    for (index_t c = 0; c < geometry.channels; ++c) {
        double mean = running_mean[c], variance = running_var[c];
        if (moments != nullptr) {
            const auto lane_of = [&](index_t image, const Moments<T>*& plane) {
                const index_t lane = geometry.shares_vectors()
                    ? (image % geometry.lane_images) * geometry.padded_channels + c
                    : c;
                plane = moments + image / geometry.lane_images * geometry.blocks + lane / L;
                return lane % L;
            };
            double sum = 0, deviations = 0;
            const Moments<T>* plane;
            for (index_t image = 0; image < geometry.num_images; ++image) {
                const index_t lane = lane_of(image, plane);
                sum += plane->mean[lane];
            }
            mean = sum / double(geometry.num_images);
            for (index_t image = 0; image < geometry.num_images; ++image) {
                const index_t lane = lane_of(image, plane);
                const double d = plane->mean[lane] - mean;
                deviations += plane->deviations[lane] + double(geometry.pixels) * d * d;
            }
            const double count = double(geometry.values());
            variance = deviations / count;
            if (momentum > 0) {
                // torch's rule: the running variance is the unbiased one.
                const double unbiased = deviations / std::max(1.0, count - 1);
                running_mean[c] = T((1 - momentum) * running_mean[c] + momentum * mean);
                running_var[c] = T((1 - momentum) * running_var[c] + momentum * unbiased);
            }
        }
        const double rstd = 1 / std::sqrt(variance + eps);
        for (index_t lane = c; lane < geometry.lanes(); lane += geometry.padded_channels) {
            result.mean[lane] = T(mean);
            result.rstd[lane] = T(rstd);
        }
    }
    // Lanes without a channel: maps are 0 there and stay it.
    for (index_t lane = 0; lane < geometry.lanes(); ++lane) {
        if (geometry.channel_of(lane) >= geometry.channels) {
            result.mean[lane] = 0;
            result.rstd[lane] = 0;
        }
    }
}

// Sums of an upstream gradient g and of g * normalised over the pixels, one for each lane.
template <class T>
AUTOSEG_INLINE Vec<T> sum_of(const T* values, index_t num) {
    constexpr index_t L = kLanes<T>;
    Vec<T> sums[4] = {};
    index_t x = 0;
    for (; x + 4 <= num; x += 4) {
        unroll<4>([&](auto i) { sums[i] += load(values + (x + i) * L); });
    }
    for (; x < num; ++x) sums[0] += load(values + x * L);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// sum of g * (value - mean)
template <class T>
AUTOSEG_INLINE Vec<T> centred_product(const T* gradient, const T* values, Vec<T> mean, index_t num) {
    constexpr index_t L = kLanes<T>;
    Vec<T> sums[4] = {};
    index_t x = 0;
    for (; x + 4 <= num; x += 4) {
        unroll<4>([&](auto i) {
            sums[i] += load(gradient + (x + i) * L) * (load(values + (x + i) * L) - mean);
        });
    }
    for (; x < num; ++x) sums[0] += load(gradient + x * L) * (load(values + x * L) - mean);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Sum a value of each lane of each group over groups and images: (channels,).
//
// lanes: (groups, lanes()).
template <class T>
void sum_images(const Geometry<T>& geometry, const T* lanes, T* channels) {
    for (index_t c = 0; c < geometry.channels; ++c) {
        T sum = 0;
        for (index_t group = 0; group < geometry.groups; ++group) {
            for (index_t lane = c; lane < geometry.lanes(); lane += geometry.padded_channels) {
                sum += lanes[group * geometry.lanes() + lane];
            }
        }
        channels[c] = sum;
    }
}

// Gradient of batch norm as an affine function of the upstream gradient g and the map p:
//     gradient of p = by_gradient * g + by_value * p + constant
// which is scale * rstd * (g - sum(g) / M - xhat * sum(g * xhat) / M), xhat = (p - mean) * rstd.
template <class T>
struct NormGradient {
    T* by_gradient;
    T* by_value;
    T* constant;

    NormGradient(const Geometry<T>& geometry, T* base)
        : by_gradient(base),
          by_value(base + geometry.lanes()),
          constant(base + 2 * geometry.lanes()) {}

    static index_t size(const Geometry<T>& geometry) { return 3 * geometry.lanes(); }

    // sum_gradient, sum_product: (channels,), over the batch. batch: false where the statistics are
    // constants (evaluation).
    void set(const Geometry<T>& geometry, NormStatistics<T> norm, T scale, const T* sum_gradient,
             const T* sum_product, bool batch) {
        const T count = T(geometry.values());
        for (index_t lane = 0; lane < geometry.lanes(); ++lane) {
            const index_t c = geometry.channel_of(lane);
            const T rstd = c < geometry.channels ? norm.rstd[lane] : T(0);
            by_gradient[lane] = scale * rstd;
            by_value[lane] = 0;
            constant[lane] = 0;
            if (batch && c < geometry.channels) {
                const T slope = scale * rstd * rstd * sum_product[c] / count;
                by_value[lane] = -slope;
                constant[lane] = slope * norm.mean[lane] - scale * rstd * sum_gradient[c] / count;
            }
        }
    }
};

}  // namespace AUTOSEG_ISA
