// What the CRF does to registers: transposing blocks of pixels, exponentials, square roots.
#pragma once

#include <cmath>

#include "../vec.hpp"

// For lambdas: their arrays live in registers only where they are inlined.
#if defined(AUTOSEG_SANITIZE)
#define AUTOSEG_INLINED
#else
#define AUTOSEG_INLINED __attribute__((always_inline))
#endif

namespace AUTOSEG_ISA {

// The same number in every lane. Subtracting zero is nothing at all, unlike `splat`'s adding it,
// which makes 0 of -0.
AUTOSEG_INLINE Vec<float> spread(float value) { return value - Vec<float>{}; }

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
    const Mask<T> inside = lanes & (kLanes<T> - 1);
    return select<T>(in_b, permute<T>(b, inside), permute<T>(a, inside));
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

// Exchange rows and columns of squares of 2 S floats, S at a time, in Count rows.
template <int S, int Count>
AUTOSEG_INLINE void exchange(Vec<float>* rows) {
    alignas(AUTOSEG_VECTOR_BYTES) static constexpr Exchange<S> lanes;
    const Mask<float> first = *reinterpret_cast<const Mask<float>*>(lanes.first);
    const Mask<float> second = *reinterpret_cast<const Mask<float>*>(lanes.second);
#pragma GCC unroll 16
    for (int i = 0; i < Count; ++i) {
        if (i & S) continue;
        const Vec<float> a = rows[i], b = rows[i + S];
        rows[i] = permute_two<float>(a, b, first);
        rows[i + S] = permute_two<float>(a, b, second);
    }
}

// Exchange rows and columns of a square of floats held in registers; or, with half as many rows as
// lanes, of the squares to the left and to the right.
template <int Count>
AUTOSEG_INLINE void transpose(Vec<float>* rows) {
    if constexpr (Count >= 16) exchange<8, Count>(rows);
    if constexpr (Count >= 8) exchange<4, Count>(rows);
    if constexpr (Count >= 4) exchange<2, Count>(rows);
    exchange<1, Count>(rows);
}

typedef float HalfVec __attribute__((vector_size(AUTOSEG_VECTOR_BYTES / 2), may_alias));

// Count floats in a register: a vector or half of one; and in memory, at any address of a float.
template <int Count>
struct RowOf {
    typedef float type __attribute__((vector_size(Count * sizeof(float)), may_alias));
    typedef type anywhere __attribute__((aligned(sizeof(float))));
};

// Rows of labels are multiples of it.
inline constexpr int kHalfRow = kLanes<float> >= 8 ? int(kLanes<float> / 2) : int(kLanes<float>);

template <std::size_t... I>
AUTOSEG_INLINE Vec<float> join_impl(HalfVec low, HalfVec high, std::index_sequence<I...>) {
    return __builtin_shufflevector(low, high, int(I)...);
}
AUTOSEG_INLINE Vec<float> join(HalfVec low, HalfVec high) {
    return join_impl(low, high, std::make_index_sequence<std::size_t(kLanes<float>)>{});
}

template <int First, std::size_t... I>
AUTOSEG_INLINE HalfVec half_impl(Vec<float> value, std::index_sequence<I...>) {
    return __builtin_shufflevector(value, value, First + int(I)...);
}
template <int First>
AUTOSEG_INLINE HalfVec half(Vec<float> value) {
    return half_impl<First>(value, std::make_index_sequence<std::size_t(kLanes<float> / 2)>{});
}

// Scores and weights are multiplied by it on their way in, so that exponentials are powers of two.
inline constexpr float kPerNat = 1.44269504f;  // log2(e)

// 2^x for x <= 0; 0 below -126, where the result would leave the normal numbers.
//
// x = n + f with |f| <= 1/2, and 2^f is a polynomial of degree 5, minimax in the relative error
// (7e-8). With rounding the relative error is below 2.4e-7 for all x, 4 units of 2^-24; tests
// measure it. NaN stays NaN.
AUTOSEG_INLINE Vec<float> exp2_not_positive(Vec<float> x) {
#if defined(__AVX512F__)
    const __m512 value = (__m512)x;
    const __m512 whole = _mm512_mask_roundscale_ps(_mm512_setzero_ps(), 0xffff, value, 0);
    const Vec<float> f = x - (Vec<float>)whole;
#else
    const Vec<float> magic = spread(12582912.f);  // 1.5 * 2^23: adding it rounds to whole numbers
    const Vec<float> lowest = spread(-126.f);
    const Vec<float> inside = x < lowest ? lowest : x;
    const Vec<float> shifted = inside + magic;
    const Vec<float> f = inside - (shifted - magic);
#endif
    Vec<float> p = spread(0.0013276472f);
    p = p * f + spread(0.00967554133f);
    p = p * f + spread(0.0555071327f);
    p = p * f + spread(0.240221197f);
    p = p * f + spread(0.693146967f);
    p = p * f + spread(1.f);
#if defined(__AVX512F__)
    const __mmask16 is_normal = _mm512_cmp_ps_mask(value, _mm512_set1_ps(-126.f), _CMP_NLT_UQ);
    return (Vec<float>)_mm512_maskz_scalef_ps(is_normal, (__m512)p, whole);
#else
    // The low bits of the shifted number hold n, in two's complement; they go into the exponent.
    const Vec<float> result = (Vec<float>)((Mask<float>)p + ((Mask<float>)shifted << 23));
    return x < lowest ? Vec<float>{} : result;
#endif
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
