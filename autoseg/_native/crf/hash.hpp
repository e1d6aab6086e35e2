// From the key of a simplex or of a lattice point to its number.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "pooled.hpp"

namespace AUTOSEG_ISA {

// The high bits of a product with an odd number that has no pattern (2^64 / golden ratio) choose
// the place, the low ones tell keys apart.
inline std::uint64_t hash_of(std::uint64_t point) { return point * 0x9e3779b97f4a7c15u; }

// A simplex: its corner of remainder 0 and the order of the axes.
struct SimplexKey {
    std::uint64_t point;
    std::uint32_t ranks;
    bool operator==(const SimplexKey& other) const {
        return point == other.point && ranks == other.ranks;
    }
};

inline std::uint64_t hash_of(const SimplexKey& key) {
    const std::uint64_t mixed = key.point ^ (std::uint64_t(key.ranks) << 44);
    return hash_of(mixed) + key.ranks * 0xff51afd7ed558ccdu;
}

// The number of each key in a vector of keys: buckets of a cache line, whose hashes are compared at
// once.
//
// A bucket has parts of hashes and numbers, so that the table is small; the vector is read where the
// parts agree. What does not fit into its bucket is in the next one.
template <class Key>
class HashIndex {
public:
    // capacity: keys expected. is_exact: whether no two keys agree in the low half of their hashes.
    explicit HashIndex(std::size_t capacity = 0, bool is_exact = false)
        : num_buckets_(std::bit_ceil(std::max<std::size_t>(64, capacity / kMeanFilled))),
          is_exact_(is_exact) {}

    void prefetch(const Key& key) {
        if (!buckets_.empty()) __builtin_prefetch(&buckets_[hash_of(key) >> shift_]);
    }

    // One more than the number of each of Count keys; 0 where there is none.
    //
    // In step, with one branch for all of them: whether a key is there is hard to foresee.
    template <int Count>
    AUTOSEG_INLINE void find(const Key* wanted, const PooledVector<Key>& keys,
                             std::uint32_t* next_numbers) const {
        if (buckets_.empty()) {
            std::fill_n(next_numbers, Count, 0);
            return;
        }
        std::uint32_t is_beyond[Count];
        std::uint32_t any_beyond = 0;
        for (int i = 0; i < Count; ++i) {
            const std::uint64_t hash = hash_of(wanted[i]);
            const Bucket& bucket = buckets_[hash >> shift_];
            // The first that agrees; free ones come last.
            const unsigned agreeing = bucket.agreeing(std::uint32_t(hash)) | 1u << kSlots;
            const int slot = __builtin_ctz(agreeing);
            next_numbers[i] = bucket.next_numbers[std::min(slot, kSlots - 1)];
            is_beyond[i] = slot == kSlots;
            any_beyond |= is_beyond[i];
        }
        if (__builtin_expect(any_beyond != 0, 0)) {
            for (int i = 0; i < Count; ++i) {
                if (is_beyond[i]) next_numbers[i] = find_slowly(wanted[i], keys);
            }
        }
        for (int i = 0; i < Count && !is_exact_; ++i) {
            if (next_numbers[i] != 0 && !(keys[next_numbers[i] - 1] == wanted[i])) {
                next_numbers[i] = find_slowly(wanted[i], keys);  // two keys' hashes agree
            }
        }
    }

    // Number of a key, which is appended to the vector if it is new.
    std::uint32_t insert(const Key& key, PooledVector<Key>& keys) {
        if (buckets_.empty() || count_ >= num_buckets_ * kMeanFilled) grow(keys);
        const std::uint64_t hash = hash_of(key);
        for (std::size_t at = hash >> shift_;; at = (at + 1) & (num_buckets_ - 1)) {
            Bucket& bucket = buckets_[at];
            for (int slot = 0; slot < kSlots; ++slot) {
                const std::uint32_t next_number = bucket.next_numbers[slot];
                if (next_number == 0) {
                    keys.push_back(key);
                    bucket.hashes[slot] = std::uint32_t(hash);
                    bucket.next_numbers[slot] = std::uint32_t(keys.size());
                    ++count_;
                    return bucket.next_numbers[slot] - 1;
                }
                if (bucket.hashes[slot] == std::uint32_t(hash) && keys[next_number - 1] == key) {
                    return next_number - 1;
                }
            }
        }
    }

    // Make room for so many of the vector's keys in all.
    void reserve(std::size_t count, const PooledVector<Key>& keys) {
        const std::size_t before = num_buckets_;
        while (num_buckets_ * kMeanFilled < count) num_buckets_ *= 2;
        if (num_buckets_ != before) rebuild(keys);
    }

private:
    static constexpr int kSlots = 8, kMeanFilled = 5;
    struct alignas(64) Bucket {
        std::uint32_t hashes[kSlots];        // their low halves
        std::uint32_t next_numbers[kSlots];  // number + 1; 0: free

        // A bit for every slot whose hash is this one, and for every free slot.
        unsigned agreeing(std::uint32_t hash) const {
#if defined(__AVX2__)
            const auto all = [](const std::uint32_t* from) {
                return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
            };
            const __m256i same = _mm256_cmpeq_epi32(all(hashes), _mm256_set1_epi32(int(hash)));
            const __m256i free = _mm256_cmpeq_epi32(all(next_numbers), _mm256_setzero_si256());
            return unsigned(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_or_si256(same, free))));
#else
            unsigned bits = 0;
            for (int slot = 0; slot < kSlots; ++slot) {
                bits |= unsigned((hashes[slot] == hash) | (next_numbers[slot] == 0)) << slot;
            }
            return bits;
#endif
        }
    };
    std::uint32_t find_slowly(const Key& key, const PooledVector<Key>& keys) const {
        for (std::size_t at = hash_of(key) >> shift_;; at = (at + 1) & (num_buckets_ - 1)) {
            for (std::uint32_t next_number : buckets_[at].next_numbers) {
                if (next_number == 0 || keys[next_number - 1] == key) return next_number;
            }
        }
    }

    // Make the table, or one of twice the size.
    void grow(const PooledVector<Key>& keys) {
        if (!buckets_.empty()) num_buckets_ *= 2;
        rebuild(keys);
    }

    void rebuild(const PooledVector<Key>& keys) {
        const std::size_t first = keys.size() - count_;  // the vector may begin with another's
        buckets_ = PooledVector<Bucket>();  // not both at once
        buckets_.resize(num_buckets_);
        shift_ = 64 - std::countr_zero(num_buckets_);
        for (std::size_t i = first; i < keys.size(); ++i) {
            const std::uint64_t hash = hash_of(keys[i]);
            std::size_t at = hash >> shift_;
            while (buckets_[at].next_numbers[kSlots - 1] != 0) at = (at + 1) & (num_buckets_ - 1);
            Bucket& bucket = buckets_[at];
            int slot = 0;
            while (bucket.next_numbers[slot] != 0) ++slot;
            bucket.hashes[slot] = std::uint32_t(hash);
            bucket.next_numbers[slot] = std::uint32_t(i + 1);
        }
    }

    PooledVector<Bucket> buckets_;
    std::size_t num_buckets_, count_ = 0;
    bool is_exact_;
    int shift_ = 64;
};

}  // namespace AUTOSEG_ISA
