// Vectors of the instruction set that this translation unit is compiled for.
//
// Every kernel is written once against `Vec` and compiled once for each instruction set, in a
// namespace of its own (AUTOSEG_ISA). Compilers' vector extensions give the arithmetic; only lane
// permutation needs intrinsics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define AUTOSEG_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define AUTOSEG_VECTOR_BYTES 32
#else
#define AUTOSEG_VECTOR_BYTES 16
#endif

// Sanitizers check every access of every copy: CMakeLists.txt.
#if defined(AUTOSEG_SANITIZE)
#define AUTOSEG_INLINE inline
#else
#define AUTOSEG_INLINE inline __attribute__((always_inline))
#endif

namespace AUTOSEG_ISA {

using index_t = std::ptrdiff_t;

template <class T>
struct VecTraits {
    typedef T type __attribute__((vector_size(AUTOSEG_VECTOR_BYTES), may_alias));
    using integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
    typedef integer mask __attribute__((vector_size(AUTOSEG_VECTOR_BYTES), may_alias));
    static constexpr index_t lanes = AUTOSEG_VECTOR_BYTES / sizeof(T);
};

template <class T>
using Vec = typename VecTraits<T>::type;
// All ones in the lanes that a comparison holds for.
template <class T>
using Mask = typename VecTraits<T>::mask;
template <class T>
inline constexpr index_t kLanes = VecTraits<T>::lanes;

// Addresses of vectors are multiples of the vector's size: see `Arena` and `Geometry`.
template <class T>
AUTOSEG_INLINE Vec<T> load(const T* address) {
    return *reinterpret_cast<const Vec<T>*>(address);
}

template <class T>
AUTOSEG_INLINE void store(T* address, Vec<T> value) {
    *reinterpret_cast<Vec<T>*>(address) = value;
}

template <class T>
AUTOSEG_INLINE Vec<T> splat(T value) {
    return Vec<T>{} + value;
}

template <class T>
AUTOSEG_INLINE Vec<T> select(Mask<T> mask, Vec<T> yes, Vec<T> no) {
    return mask ? yes : no;
}

// std::max's order of operands keeps a NaN of `value`, as torch's ReLU does.
template <class T>
AUTOSEG_INLINE Vec<T> relu(Vec<T> value) {
    const Vec<T> zero{};
    return value < zero ? zero : value;
}

template <class T>
AUTOSEG_INLINE Vec<T> maximum(Vec<T> a, Vec<T> b) {
    return a > b ? a : b;
}

template <class T>
AUTOSEG_INLINE Vec<T> minimum(Vec<T> a, Vec<T> b) {
    return a < b ? a : b;
}

// Lane i of the result is lane lanes[i] of the value.
template <class T>
AUTOSEG_INLINE Vec<T> permute(Vec<T> value, Mask<T> lanes) {
#if defined(__GNUC__) && !defined(__clang__)
    return __builtin_shuffle(value, lanes);
#elif defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
        return (Vec<T>)_mm512_permutexvar_ps((__m512i)lanes, (__m512)value);
    } else {
        return (Vec<T>)_mm512_permutexvar_pd((__m512i)lanes, (__m512d)value);
    }
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
        return (Vec<T>)_mm256_permutevar8x32_ps((__m256)value, (__m256i)lanes);
    } else {
        // A double is two 32-bit elements: lane l is elements 2 l and 2 l + 1.
        const Mask<T> low = lanes * 2;
        const Mask<T> both = low | ((low + 1) << 32);
        return (Vec<T>)_mm256_permutevar8x32_ps((__m256)value, (__m256i)both);
    }
#else
    Vec<T> result;
    for (index_t i = 0; i < kLanes<T>; ++i) result[i] = value[lanes[i]];
    return result;
#endif
}

// Call f with the constants 0 to Count - 1: unrolled before anything else, so that arrays indexed
// by them live in registers.
template <int Count, class F, std::size_t... I>
AUTOSEG_INLINE void unroll_impl(F&& f, std::index_sequence<I...>) {
    (f(std::integral_constant<int, static_cast<int>(I)>{}), ...);
}

template <int Count, class F>
AUTOSEG_INLINE void unroll(F&& f) {
    unroll_impl<Count>(f, std::make_index_sequence<Count>{});
}

}  // namespace AUTOSEG_ISA
