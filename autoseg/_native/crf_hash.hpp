// From the key of a simplex or of a lattice point to its number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "arena.hpp"

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

// The number of each key in a vector of keys: a table with open addressing, at most half full.
//
// The table itself holds numbers and parts of hashes, so that it is small; the vector is read where
// the parts agree.
template <class Key>
class HashIndex {
public:
    // is_exact: whether no two keys agree in the low half of their hashes.
    explicit HashIndex(std::size_t capacity = std::size_t(1) << 10, bool is_exact = false)
        : capacity_(capacity), is_exact_(is_exact) {}

    void prefetch(const Key& key) {
        if (slots_ != nullptr) __builtin_prefetch(&slots_[hash_of(key) >> shift_]);
    }

    // One more than the number of each of Count keys; 0 where there is none.
    //
    // In step, with one branch for all of them: whether a key is there is hard to foresee.
    template <int Count>
    AUTOSEG_INLINE void find(const Key* wanted, const std::vector<Key>& keys,
                             std::uint32_t* next_numbers) const {
        if (slots_ == nullptr) {
            std::fill_n(next_numbers, Count, 0);
            return;
        }
        std::size_t places[Count];
        std::uint32_t hashes[Count];
        for (int i = 0; i < Count; ++i) {
            const std::uint64_t hash = hash_of(wanted[i]);
            places[i] = hash >> shift_;
            hashes[i] = std::uint32_t(hash);
        }
        std::size_t is_open;
        do {
            is_open = 0;
            for (int i = 0; i < Count; ++i) {
                const Slot slot = slots_[places[i]];
                const bool is_end = (slot.next_number == 0) | (slot.hash == hashes[i]);
                next_numbers[i] = slot.next_number;
                places[i] = (places[i] + !is_end) & (capacity_ - 1);
                is_open |= std::size_t(!is_end);
            }
        } while (is_open);
        for (int i = 0; i < Count && !is_exact_; ++i) {
            if (next_numbers[i] != 0 && !(keys[next_numbers[i] - 1] == wanted[i])) {
                next_numbers[i] = find_slowly(wanted[i], keys);  // two keys' hashes agree
            }
        }
    }

    // Number of a key, which is appended to the vector if it is new.
    std::uint32_t insert(const Key& key, std::vector<Key>& keys) {
        if (slots_ == nullptr || 2 * (count_ + 1) > capacity_) grow(keys);
        const std::uint64_t hash = hash_of(key);
        for (std::size_t at = hash >> shift_;; at = (at + 1) & (capacity_ - 1)) {
            Slot& slot = slots_[at];
            if (slot.next_number == 0) {
                keys.push_back(key);
                slot = {std::uint32_t(hash), std::uint32_t(keys.size())};
                ++count_;
                return slot.next_number - 1;
            }
            if (slot.hash == std::uint32_t(hash) && keys[slot.next_number - 1] == key) {
                return slot.next_number - 1;
            }
        }
    }

private:
    struct Slot {
        std::uint32_t hash;         // its low half
        std::uint32_t next_number;  // number + 1; 0: free
    };
    struct Free {
        void operator()(Slot* slots) const { std::free(slots); }
    };

    std::uint32_t find_slowly(const Key& key, const std::vector<Key>& keys) const {
        for (std::size_t at = hash_of(key) >> shift_;; at = (at + 1) & (capacity_ - 1)) {
            const std::uint32_t next_number = slots_[at].next_number;
            if (next_number == 0 || keys[next_number - 1] == key) return next_number;
        }
    }

    // Make the table, or one of twice the size.
    void grow(const std::vector<Key>& keys) {
        const std::size_t first = keys.size() - count_;  // the vector may begin with another's
        if (slots_ != nullptr) capacity_ *= 2;
        const std::size_t bytes = capacity_ * sizeof(Slot);
        const std::size_t align = bytes < kHugePage ? 64 : kHugePage;
        void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align);
        if (memory == nullptr) throw std::bad_alloc();
        prefer_huge_pages(memory, bytes);
        slots_.reset(static_cast<Slot*>(std::memset(memory, 0, bytes)));
        shift_ = 64;
        for (std::size_t size = capacity_; size > 1; size /= 2) --shift_;
        for (std::size_t i = first; i < keys.size(); ++i) {
            const std::uint64_t hash = hash_of(keys[i]);
            std::size_t at = hash >> shift_;
            while (slots_[at].next_number != 0) at = (at + 1) & (capacity_ - 1);
            slots_[at] = {std::uint32_t(hash), std::uint32_t(i + 1)};
        }
    }

    std::unique_ptr<Slot[], Free> slots_;
    std::size_t capacity_, count_ = 0;
    bool is_exact_;
    int shift_ = 64;
};

}  // namespace AUTOSEG_ISA
