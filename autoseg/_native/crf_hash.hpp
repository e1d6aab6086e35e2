// From the key of a simplex or of a lattice point to its number.
#pragma once

#include <cstdint>
#include <vector>

#include "vec.hpp"

namespace AUTOSEG_ISA {

// A lattice point (ranks is 0) or a simplex: its corner of remainder 0 and the order of the axes.
struct SimplexKey {
    std::uint64_t point;
    std::uint32_t ranks;
    bool operator==(const SimplexKey& other) const {
        return point == other.point && ranks == other.ranks;
    }
};

// A table with open addressing that is at most half full.
class HashIndex {
public:
    explicit HashIndex(std::size_t capacity = std::size_t(1) << 10) { resize(capacity); }

    void prefetch(const SimplexKey& key) const { __builtin_prefetch(slots_.data() + place(key)); }

    // Number of a key; 0 if there is none.
    std::uint32_t find(const SimplexKey& key) const {
        for (std::size_t at = place(key);; at = (at + 1) & mask_) {
            const Slot& slot = slots_[at];
            if (slot.next_number == 0) return 0;
            if (slot.key == key.point && slot.ranks == key.ranks) return slot.next_number - 1;
        }
    }

    // Number of a key, which is `number` if it is new.
    std::uint32_t insert(const SimplexKey& key, std::uint32_t number) {
        for (std::size_t at = place(key);; at = (at + 1) & mask_) {
            Slot& slot = slots_[at];
            if (slot.next_number == 0) {
                slot = {key.point, key.ranks, number + 1};
                if (2 * ++count_ > slots_.size()) resize(2 * slots_.size());
                return number;
            }
            if (slot.key == key.point && slot.ranks == key.ranks) return slot.next_number - 1;
        }
    }

private:
    struct Slot {
        std::uint64_t key;
        std::uint32_t ranks;
        std::uint32_t next_number;  // number + 1; 0: free
    };

    // The high bits of a product with an odd number that has no pattern (2^64 / golden ratio).
    std::size_t place(const SimplexKey& key) const {
        const std::uint64_t mixed = key.point ^ (std::uint64_t(key.ranks) << 44);
        return std::size_t((mixed * 0x9e3779b97f4a7c15u + key.ranks * 0xff51afd7ed558ccdu) >>
                           shift_);
    }

    void resize(std::size_t capacity) {
        std::vector<Slot> old(capacity, Slot{0, 0, 0});
        old.swap(slots_);
        mask_ = capacity - 1;
        shift_ = 64;
        while (capacity > 1) {
            capacity /= 2;
            --shift_;
        }
        for (const Slot& slot : old) {
            if (slot.next_number == 0) continue;
            std::size_t at = place({slot.key, slot.ranks});
            while (slots_[at].next_number != 0) at = (at + 1) & mask_;
            slots_[at] = slot;
        }
    }

    std::vector<Slot> slots_;
    std::size_t mask_ = 0, count_ = 0;
    int shift_ = 64;
};

}  // namespace AUTOSEG_ISA
