// What the CRF does to registers: transposing blocks of pixels, exponentials, square roots.
#pragma once

#include <cmath>

#include "vec.hpp"

// For lambdas: their arrays live in registers only where they are inlined.
#define AUTOSEG_INLINED __attribute__((always_inline))

namespace AUTOSEG_ISA {

// The same number in every lane. Subtracting zero is nothing at all, unlike `splat`'s adding it,
// which makes 0 of -0.
AUTOSEG_INLINE Vec<float> spread(float value) { return value - Vec<float>{}; }

// Ask early for what comes 512 bytes later. A pass reads a stream for each
// label, more than processors foresee.
AUTOSEG_INLINE void fetch_ahead(const float* address) {
    constexpr index_t kAhead = 128;
    __builtin_prefetch(address + kAhead);
}

// Loads and stores at any address of a float.
AUTOSEG_INLINE Vec<float> load_anywhere(const float* address) {
    Vec<float> value;
    std::memcpy(&value, address, sizeof(value));
    return value;
}

AUTOSEG_INLINE void store_anywhere(float* address, Vec<float> value) {
    std::memcpy(address, &value, sizeof(value));
}

// The first `count` elements, zeros after them.
AUTOSEG_INLINE Vec<float> load_some(const float* address, index_t count) {
    Vec<float> value{};
    std::memcpy(&value, address, std::size_t(count) * sizeof(float));
    return value;
}

AUTOSEG_INLINE void store_some(float* address, Vec<float> value, index_t count) {
    std::memcpy(address, &value, std::size_t(count) * sizeof(float));
}

// Lane i of the result is lane lanes[i] of the concatenation of two vectors.
template <class T>
AUTOSEG_INLINE Vec<T> permute_two(Vec<T> a, Vec<T> b, Mask<T> lanes) {
#if defined(__GNUC__) && !defined(__clang__)
    return __builtin_shuffle(a, b, lanes);
#else
    const Mask<T> in_b = lanes >= Mask<T>{} + kLanes<T>;
    return select<T>(in_b, permute<T>(b, lanes & (kLanes<T> - 1)), permute<T>(a, lanes & (kLanes<T> - 1)));
#endif
}

// Which lanes of two rows that are S apart make the first and the second of them.
template <int S>
struct Exchange {
    static constexpr int kSize = int(kLanes<float>);
    std::int32_t first[kSize], second[kSize];
    constexpr Exchange() : first(), second() {
        for (int lane = 0; lane < kSize; ++lane) {
            first[lane] = (lane & S) ? kSize + lane - S : lane;
            second[lane] = (lane & S) ? kSize + lane : lane + S;
        }
    }
};

template <int S>
AUTOSEG_INLINE void exchange(Vec<float>* rows) {
    alignas(AUTOSEG_VECTOR_BYTES) static constexpr Exchange<S> lanes;
    const Mask<float> first = *reinterpret_cast<const Mask<float>*>(lanes.first);
    const Mask<float> second = *reinterpret_cast<const Mask<float>*>(lanes.second);
#pragma GCC unroll 16
    for (int i = 0; i < int(kLanes<float>); ++i) {
        if (i & S) continue;
        const Vec<float> a = rows[i], b = rows[i + S];
        rows[i] = permute_two<float>(a, b, first);
        rows[i + S] = permute_two<float>(a, b, second);
    }
}

// Exchange rows and columns of a square of floats held in registers.
AUTOSEG_INLINE void transpose(Vec<float>* rows) {
    if constexpr (kLanes<float> >= 16) exchange<8>(rows);
    if constexpr (kLanes<float> >= 8) exchange<4>(rows);
    exchange<2>(rows);
    exchange<1>(rows);
}

// exp(x) for x <= 0; 0 below -87, where the result would leave the normal numbers.
//
// x = n ln 2 + r with |r| <= ln 2 / 2, and exp(r) = 1 + r + r^2 P(r) with P of degree 4, minimax in
// the relative error of the whole (3e-9). With rounding the relative error is below 1.5e-7 for all
// x, 2.5 units of 2^-24; tests measure it. NaN stays NaN.
AUTOSEG_INLINE Vec<float> exp_not_positive(Vec<float> x) {
    const Vec<float> magic = spread(12582912.f);  // 1.5 * 2^23: adding it rounds to whole numbers
    const Vec<float> lowest = spread(-87.f);
    const Vec<float> inside = x < lowest ? lowest : x;
    const Vec<float> shifted = inside * spread(1.44269504f) + magic;
    const Vec<float> n = shifted - magic;
    // ln 2 in two parts; the first has few digits, so that n times it is exact.
    const Vec<float> r = (inside - n * spread(0.693359375f)) - n * spread(-2.12194440e-4f);
    Vec<float> p = spread(0.00138145988f);
    p = p * r + spread(0.00836871658f);
    p = p * r + spread(0.0416683890f);
    p = p * r + spread(0.166665211f);
    p = p * r + spread(0.499999940f);
    const Vec<float> value = (p * r) * r + r + spread(1.f);
    // The low bits of the shifted number hold n, in two's complement.
    const Mask<float> power = ((Mask<float>)shifted << 23) + (127 << 23);
    const Vec<float> result = value * (Vec<float>)power;
    return x < lowest ? Vec<float>{} : result;
}

AUTOSEG_INLINE Vec<float> square_root(Vec<float> x) {
#if defined(__AVX512F__)
    return (Vec<float>)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#elif defined(__AVX2__)
    return (Vec<float>)_mm256_sqrt_ps((__m256)x);
#else
    for (index_t i = 0; i < kLanes<float>; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
}

inline index_t round_up(index_t value, index_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

}  // namespace AUTOSEG_ISA
