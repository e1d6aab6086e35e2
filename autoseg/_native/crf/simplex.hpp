// The simplex around each pixel: its name and the pixel's barycentric coordinates.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "../arena.hpp"
#include "hash.hpp"
#include "math.hpp"

namespace AUTOSEG_ISA {

inline constexpr int kDims = 5;  // two of position, three of colour
inline constexpr int kCorners = kDims + 1;

// Scale of each feature on its axis of the lattice's plane; see `_elevate` in permutohedral.py.
inline double lattice_scale(int dim) {
    return kCorners * std::sqrt(2.0 / 3) / std::sqrt(double((dim + 1) * (dim + 2)));
}

// Integer names of lattice points that are linear in their coordinates: see `_pack`.
class LatticeKeys {
public:
    // lowest, highest: of the scaled features.
    LatticeKeys(const double* lowest, const double* highest) {
        // Rounding moves a coordinate by up to 1/2, correction by 1. Beyond the origin corners lie
        // the other corners, their neighbours and, in a closed lattice, the neighbours of those.
        constexpr double kMargin = 2 * 1.5 + 3;
        double sizes[kDims], total = 1, widest = 0;
        for (int i = 0; i < kDims; ++i) {
            // Digit 0 is the first coordinate, sum(s); digit i > 0 a sixth of coordinate i less it,
            // -(s_0 + ... + s_(i-1)) - i s_(i-1).
            double low = 0, high = 0;
            if (i == 0) {
                for (int j = 0; j < kDims; ++j) low += lowest[j], high += highest[j];
            } else {
                for (int j = 0; j < i; ++j) {
                    const double factor = 1 + (j == i - 1 ? i : 0);
                    low -= factor * highest[j];
                    high -= factor * lowest[j];
                }
            }
            const double unit = i == 0 ? 1 : kCorners;
            const double margin = i == 0 ? kCorners * kMargin : kMargin;
            const double first = std::floor(low / unit) - margin;
            sizes[i] = std::ceil(high / unit) + margin - first + 1;
            lowest_[i] = std::int64_t(std::clamp(first, -4e18, 4e18));
            total *= sizes[i];
            widest = std::max({widest, std::abs(low), std::abs(high)});
        }
        // Past 1e14, doubles no longer tell the points of a simplex apart.
        if (!(total < 9e18 && widest < 1e14)) {
            throw std::overflow_error("Lattice: a point's name does not fit into 63 bits.");
        }
        are_short_ = total < 4294967296.0;
        strides_[kDims - 1] = 1;
        for (int i = kDims - 1; i > 0; --i) strides_[i - 1] = strides_[i] * std::int64_t(sizes[i]);
        steps_[0] = -kDims * strides_[0];
        for (int i = 1; i < kDims; ++i) {
            steps_[0] += strides_[i];
            steps_[i] = strides_[0] - strides_[i];
        }
        steps_[kDims] = strides_[0];
        std::uint64_t base = 0;  // unsigned: keys may wrap, and their differences stay right
        for (int i = 0; i < kDims; ++i) {
            base -= std::uint64_t(lowest_[i]) * std::uint64_t(strides_[i]);
        }
        base_ = std::int64_t(base);
        // Key of an origin corner, c in periods: sum of factor_i c_i.
        factors_[0] = kCorners * strides_[0];
        for (int i = 1; i < kDims; ++i) {
            factors_[i] = strides_[i];
            factors_[0] -= strides_[i];
        }
    }

    // Whether names are below 2^32; their hashes' low halves then differ as well.
    bool are_short() const { return are_short_; }
    std::int64_t base() const { return base_; }
    std::int64_t factor(int i) const { return factors_[i]; }
    // What a step along an axis adds to a key.
    std::uint64_t step(int axis) const { return std::uint64_t(steps_[axis]); }

    // Keys of a simplex's corners with remainder 0 to 5: a walk along the axes, last ranks first.
    void corners(const SimplexKey& simplex, std::uint64_t* keys) const {
        int axis_of_rank[8] = {};
        for (int i = 0; i < kCorners; ++i) axis_of_rank[simplex.ranks >> (3 * i) & 7] = i;
        keys[0] = simplex.point;
        for (int k = 1; k < kCorners; ++k) {
            keys[k] = keys[k - 1] + step(axis_of_rank[kCorners - k]);
        }
    }

private:
    std::int64_t strides_[kDims], lowest_[kDims], steps_[kCorners], factors_[kDims], base_;
    bool are_short_;
};

// x / 6, rounded as a division rounds it, in a fraction of the time.
//
// The reciprocal's error is a quarter of a unit of the last place, so that the product is next to
// the quotient, and its remainder, which is exact, says how far (Markstein 1990, "Computation of
// elementary functions on the IBM RISC System/6000 processor", theorem 7).
AUTOSEG_INLINE Vec<double> sixth_of(Vec<double> x) {
    static_assert(kCorners == 6);
#if defined(__AVX512F__)
    const __m512d value = (__m512d)x, reciprocal = _mm512_set1_pd(1.0 / 6);
    const __m512d product = (__m512d)(x * (Vec<double>)reciprocal);
    const __m512d remainder = _mm512_fnmadd_pd(product, _mm512_set1_pd(6), value);
    return (Vec<double>)_mm512_fmadd_pd(remainder, reciprocal, product);
#elif defined(__FMA__)
    const __m256d value = (__m256d)x, reciprocal = _mm256_set1_pd(1.0 / 6);
    const __m256d product = (__m256d)(x * (Vec<double>)reciprocal);
    const __m256d remainder = _mm256_fnmadd_pd(product, _mm256_set1_pd(6), value);
    return (Vec<double>)_mm256_fmadd_pd(remainder, reciprocal, product);
#else
    return x / splat(6.0);
#endif
}

// A row of pixels on its way to the lattice.
class SimplexRow {
public:
    explicit SimplexRow(index_t pitch)
        : pitch_(pitch),
          features_(memory_.zeros<double>(kDims * pitch)),
          points_(memory_.take<std::int64_t>(pitch)),
          ranks_(memory_.take<std::int64_t>(pitch)),
          weights_(memory_.take<float>(kCorners * pitch)) {}

    // Where the scaled features go: (kDims, pitch).
    double* features() { return features_; }
    SimplexKey key(index_t x) const {
        return {std::uint64_t(points_[x]), std::uint32_t(ranks_[x])};
    }
    // Write the barycentric coordinates of pixels x, ..., x + L - 1: 8 numbers each, two of them 0.
    AUTOSEG_INLINE void weights(index_t x, float* to) const {
        constexpr int kCount = 8;
        if constexpr (kLanes<float> < kCount) {
            for (index_t i = 0; i < kLanes<float>; ++i) {
                for (int k = 0; k < kCount; ++k) {
                    to[i * kCount + k] = k < kCorners ? weights_[k * pitch_ + x + i] : 0;
                }
            }
        } else {
            Vec<float> rows[kCount] = {};
            unroll<kCorners>([&](auto k) AUTOSEG_INLINED {
                rows[k] = load(weights_ + k * pitch_ + x);
            });
            transpose<kCount>(rows);
            // A row has the numbers of every eighth pixel.
            unroll<kCount>([&](auto i) AUTOSEG_INLINED {
                for (index_t part = 0; part < kLanes<float> / kCount; ++part) {
                    std::memcpy(to + (i + part * kCount) * kCount,
                                reinterpret_cast<const float*>(&rows[i]) + part * kCount,
                                kCount * sizeof(float));
                }
            });
        }
    }

    // Follows `_enclosing_simplices` operation by operation; no product here is rounded, so that
    // contraction changes nothing. The features come from memory for the same reason.
    void embed(const LatticeKeys& keys) {
        using V = Vec<double>;
        using I = Mask<double>;
        constexpr index_t D = kLanes<double>;
        const V magic = splat(6755399441055744.0);  // 1.5 * 2^52: adding it rounds to whole numbers
        const V period = splat(double(kCorners));
        for (index_t x = 0; x < pitch_; x += D) {
            V s[kDims], difference[kCorners];
            I origin[kCorners], excess{};
            unroll<kDims>([&](auto i) AUTOSEG_INLINED { s[i] = load(features_ + i * pitch_ + x); });
            const V t3 = s[4] + s[3], t2 = t3 + s[2], t1 = t2 + s[1];
            const V double2 = s[2] + s[2], double3 = s[3] + s[3], double4 = s[4] + s[4];
            const V elevated[kCorners] = {t1 + s[0],
                                          t1 - s[0],
                                          t2 - (s[1] + s[1]),
                                          t3 - (double2 + s[2]),
                                          s[4] - (double3 + double3),
                                          V{} - ((double4 + double4) + s[4])};
            unroll<kCorners>([&](auto i) AUTOSEG_INLINED {
                const V shifted = sixth_of(elevated[i]) + magic;
                origin[i] = (I)shifted - (I)magic;
                difference[i] = elevated[i] - (shifted - magic) * period;
                excess += origin[i];
            });
            // Rank in descending order; of equal ones the first goes first.
            I rank[kCorners] = {};
            unroll<kCorners>([&](auto i) AUTOSEG_INLINED {
                unroll<kCorners>([&](auto j) AUTOSEG_INLINED {
                    constexpr int kFirst = std::decay_t<decltype(i)>::value;
                    constexpr int kSecond = std::decay_t<decltype(j)>::value;
                    if constexpr (kFirst < kSecond) {
                        const I later = difference[i] >= difference[j];
                        rank[j] -= later;
                        rank[i] += later + 1;
                    }
                });
            });
            I code{}, point = I{} + keys.base();
            unroll<kCorners>([&](auto i) AUTOSEG_INLINED {
                const I up = rank[i] < -excess;  // all ones are -1
                const I down = rank[i] >= kCorners - excess;
                const I correction = down - up;
                origin[i] += correction;
                difference[i] = difference[i] - __builtin_convertvector(correction, V) * period;
                code |= (rank[i] + excess + correction * kCorners) << (3 * i);
                if constexpr (std::decay_t<decltype(i)>::value < kDims) {
                    point += origin[i] * keys.factor(i);
                }
            });
            *reinterpret_cast<I*>(points_ + x) = point;
            *reinterpret_cast<I*>(ranks_ + x) = code;
            sort(difference);
            V sum{};
            unroll<kDims>([&](auto k) AUTOSEG_INLINED {
                const V gap = sixth_of(difference[kDims - 1 - k] - difference[kDims - k]);
                sum += gap;
                store_weight(k + 1, x, gap);
            });
            store_weight(0, x, splat(1.0) - sum);
        }
    }

private:
    // Descending, by the network of twelve exchanges for six numbers.
    static AUTOSEG_INLINE void sort(Vec<double>* values) {
        const auto order = [&](int i, int j) {
            const Vec<double> a = values[i], b = values[j];
            values[i] = a > b ? a : b;
            values[j] = a > b ? b : a;
        };
        order(0, 5), order(1, 3), order(2, 4);
        order(1, 2), order(3, 4);
        order(0, 3), order(2, 5);
        order(0, 1), order(2, 3), order(4, 5);
        order(1, 2), order(3, 4);
    }

    AUTOSEG_INLINE void store_weight(index_t corner, index_t x, Vec<double> value) {
        typedef float Half __attribute__((vector_size(AUTOSEG_VECTOR_BYTES / 2)));
        const Half half = __builtin_convertvector(value, Half);
        std::memcpy(weights_ + corner * pitch_ + x, &half, sizeof(half));
    }

    Arena memory_;
    index_t pitch_;
    double* features_;
    std::int64_t* points_;
    std::int64_t* ranks_;
    float* weights_;
};

}  // namespace AUTOSEG_ISA
