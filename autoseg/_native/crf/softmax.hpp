// From scores and messages of a tile's row to its marginals: (labels, L), L pixels a vector.
#pragma once

#include <vector>

#include "scores.hpp"

namespace AUTOSEG_ISA {

// Call f(number of labels, first label) for pieces of the labels, of up to two vectors each.
template <class F>
AUTOSEG_INLINE void for_pieces(index_t labels, F&& f) {
    constexpr int L = int(kLanes<float>);
    for (index_t c = 0; c < labels; c += 2 * L) {
        const index_t left = labels - c;
        if (left > L + kHalfRow) {
            f(std::integral_constant<int, 2 * L>{}, c);
        } else if (left > L) {
            f(std::integral_constant<int, L + kHalfRow>{}, c);
        } else if (left > kHalfRow) {
            f(std::integral_constant<int, L>{}, c);
        } else {
            f(std::integral_constant<int, kHalfRow>{}, c);
        }
    }
}

// Call f(number of labels, first label) for the vectors of a piece, and for the half that may be
// left.
template <int Labels, class F>
AUTOSEG_INLINE void for_vectors(F&& f) {
    constexpr int L = int(kLanes<float>);
    unroll<Labels / L>([&](auto i) AUTOSEG_INLINED {
        f(std::integral_constant<int, L>{}, std::integral_constant<int, i * L>{});
    });
    if constexpr (Labels % L != 0) {
        f(std::integral_constant<int, kHalfRow>{}, std::integral_constant<int, Labels / L * L>{});
    }
}

// From messages to what the compatibility makes of them, with the sign that scores add it with.
inline void mix_labels(const float* compatibility, index_t labels, float* values) {
    constexpr index_t L = kLanes<float>;
    thread_local std::vector<float> mixed;
    mixed.resize(std::size_t(labels * L));
    for (index_t c = 0; c < labels; ++c) {
        Vec<float> sum{};
        for (index_t other = 0; other < labels; ++other) {
            sum -= load(values + other * L) * spread(compatibility[c * labels + other]);
        }
        store_anywhere(mixed.data() + c * L, sum);
    }
    std::memcpy(values, mixed.data(), mixed.size() * sizeof(float));
}

// The largest of each pixel's values.
AUTOSEG_INLINE Vec<float> highest_of(index_t labels, const float* values) {
    constexpr index_t L = kLanes<float>;
    Vec<float> highest = load(values);
    for (index_t c = 1; c < labels; ++c) {
        highest = maximum<float>(highest, load(values + c * L));
    }
    return highest;
}

// Replace a block's values by powers of two, the highest 1; return 1 / their sum.
//
// highest: of each pixel's values.
// ahead: scores to ask for early, a few at a time: memory serves only so many requests at once.
// Null: none.
AUTOSEG_INLINE Vec<float> exponentiate(index_t labels, float* values, Vec<float> highest,
                                       const Scores* ahead) {
    constexpr index_t L = kLanes<float>;
    Vec<float> sum{};
    for (index_t c = 0; c < labels; ++c) {
        if (ahead != nullptr) ahead->fetch(c);
        const Vec<float> value = exp2_not_positive(load(values + c * L) - highest);
        sum += value;
        store(values + c * L, value);
    }
    return spread(1.f) / sum;
}

}  // namespace AUTOSEG_ISA
