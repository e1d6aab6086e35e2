// 3 x 3 pooling of stride 1 over one plane, and its gradient. Pixels outside do not take part.
#pragma once

#include "geometry.hpp"

namespace AUTOSEG_ISA {

template <class T>
void max_pool(const T* in, T* out, index_t height, index_t width) {
    constexpr index_t L = kLanes<T>;
    for (index_t y = 0; y < height; ++y) {
        const index_t top = std::max<index_t>(y - 1, 0), bottom = std::min(y + 1, height - 1);
        for (index_t x = 0; x < width; ++x) {
            const index_t left = std::max<index_t>(x - 1, 0), right = std::min(x + 1, width - 1);
            Vec<T> best = load(in + (y * width + x) * L);
            for (index_t v = top; v <= bottom; ++v) {
                for (index_t u = left; u <= right; ++u) {
                    best = maximum<T>(load(in + (v * width + u) * L), best);
                }
            }
            store(out + (y * width + x) * L, best);
        }
    }
}

// Each output's gradient goes to its first maximum in reading order, as in torch.
template <class T>
void max_pool_gradient(const T* in, const T* pooled, const T* gradient, T* grad_in, index_t height,
                       index_t width) {
    constexpr index_t L = kLanes<T>;
    for (index_t y = 0; y < height; ++y) {
        const index_t top = std::max<index_t>(y - 1, 0), bottom = std::min(y + 1, height - 1);
        for (index_t x = 0; x < width; ++x) {
            const index_t left = std::max<index_t>(x - 1, 0), right = std::min(x + 1, width - 1);
            const Vec<T> best = load(pooled + (y * width + x) * L);
            Vec<T> rest = load(gradient + (y * width + x) * L);  // 0 once a lane's is given away
            for (index_t v = top; v <= bottom; ++v) {
                for (index_t u = left; u <= right; ++u) {
                    const index_t at = (v * width + u) * L;
                    const Mask<T> is_best = load(in + at) == best;
                    store(grad_in + at, load(grad_in + at) + select<T>(is_best, rest, Vec<T>{}));
                    rest = select<T>(is_best, Vec<T>{}, rest);
                }
            }
        }
    }
}

AUTOSEG_INLINE index_t window(index_t at, index_t size) {
    return std::min(at + 1, size - 1) - std::max<index_t>(at - 1, 0) + 1;
}

template <class T>
void average_pool(const T* in, T* out, index_t height, index_t width) {
    constexpr index_t L = kLanes<T>;
    for (index_t y = 0; y < height; ++y) {
        const index_t top = std::max<index_t>(y - 1, 0), bottom = std::min(y + 1, height - 1);
        for (index_t x = 0; x < width; ++x) {
            const index_t left = std::max<index_t>(x - 1, 0), right = std::min(x + 1, width - 1);
            Vec<T> sum{};
            for (index_t v = top; v <= bottom; ++v) {
                for (index_t u = left; u <= right; ++u) sum += load(in + (v * width + u) * L);
            }
            const T share = T(1) / T(window(y, height) * window(x, width));
            store(out + (y * width + x) * L, sum * splat(share));
        }
    }
}

// gradient: Overwritten.
template <class T>
void average_pool_gradient(T* gradient, T* grad_in, index_t height, index_t width) {
    constexpr index_t L = kLanes<T>;
    for (index_t y = 0; y < height; ++y) {
        for (index_t x = 0; x < width; ++x) {
            T* at = gradient + (y * width + x) * L;
            store(at, load(at) * splat(T(1) / T(window(y, height) * window(x, width))));
        }
    }
    for (index_t y = 0; y < height; ++y) {
        const index_t top = std::max<index_t>(y - 1, 0), bottom = std::min(y + 1, height - 1);
        for (index_t x = 0; x < width; ++x) {
            const index_t left = std::max<index_t>(x - 1, 0), right = std::min(x + 1, width - 1);
            Vec<T> sum{};
            for (index_t v = top; v <= bottom; ++v) {
                for (index_t u = left; u <= right; ++u) sum += load(gradient + (v * width + u) * L);
            }
            T* at = grad_in + (y * width + x) * L;
            store(at, load(at) + sum);
        }
    }
}

}  // namespace AUTOSEG_ISA
