// From scores and messages of a tile's row to its marginals: (labels, L), L pixels a vector.
#pragma once

#include <vector>

#include "crf_scores.hpp"

namespace AUTOSEG_ISA {

// Call f(number of labels, first label) for pieces of the labels that fill vectors, or half.
template <class F>
AUTOSEG_INLINE void for_chunks(index_t labels, F&& f) {
    constexpr index_t L = kLanes<float>;
    constexpr int kHalf = L >= 8 ? int(L / 2) : int(L);
    for (index_t c = 0; c < labels; c += L) {
        if (labels - c > kHalf) {
            f(std::integral_constant<int, int(L)>{}, c);
        } else {
            f(std::integral_constant<int, kHalf>{}, c);
        }
    }
}

// From messages to scores less what the compatibility makes of the messages.
inline void mix_labels(const float* compatibility, index_t labels, const Scores& scores,
                       float* values) {
    constexpr index_t L = kLanes<float>;
    thread_local std::vector<float> mixed;
    mixed.resize(std::size_t(labels * L));
    for (index_t c = 0; c < labels; ++c) {
        Vec<float> score = scores.of(c);
        for (index_t other = 0; other < labels; ++other) {
            const float penalty = compatibility[c * labels + other];
            score -= load(values + other * L) * spread(penalty);
        }
        store_anywhere(mixed.data() + c * L, score);
    }
    std::memcpy(values, mixed.data(), mixed.size() * sizeof(float));
}

// Replace a block's values by powers of two, the highest 1; return 1 / their sum.
//
// ahead: scores to ask for early, a few at a time: memory serves only so many requests at once.
AUTOSEG_INLINE Vec<float> exponentiate(index_t labels, float* values, const Scores& ahead) {
    constexpr index_t L = kLanes<float>;
    Vec<float> highest = load(values);
    for (index_t c = 1; c < labels; ++c) {
        highest = maximum<float>(highest, load(values + c * L));
    }
    Vec<float> sum{};
    for (index_t c = 0; c < labels; ++c) {
        __builtin_prefetch(ahead.at + c * ahead.step);
        const Vec<float> value = exp2_not_positive(load(values + c * L) - highest);
        sum += value;
        store(values + c * L, value);
    }
    return spread(1.f) / sum;
}

}  // namespace AUTOSEG_ISA
