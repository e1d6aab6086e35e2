// Vectors whose memory is used again, and counted (memory_account.hpp).
//
// The C library gives memory of megabytes back to the system, which clears every page that it hands
// out again. Building a lattice takes and frees many of them.
#pragma once

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "../arena.hpp"

namespace AUTOSEG_ISA {

// Blocks that were given back, for those to come. Sizes are powers of two, so that an image finds
// what another one left.
class BlockPool {
public:
    static BlockPool& shared() {
        static BlockPool& pool = *new BlockPool;  // outlives whatever is destroyed at the end
        return pool;
    }

    void* take(std::size_t bytes) {
        const int kind = kind_of(bytes);
        {
            const std::lock_guard lock(mutex_);
            std::vector<void*>& blocks = blocks_[kind];
            if (is_kept(kind) && !blocks.empty()) {
                void* block = blocks.back();
                blocks.pop_back();
                return block;
            }
        }
        return take_memory(size_of(kind, bytes), &account());
    }

    void give_back(void* block, std::size_t bytes) noexcept {
        const int kind = kind_of(bytes);
        if (is_kept(kind)) {
            const std::lock_guard lock(mutex_);
            std::vector<void*>& blocks = blocks_[kind];
            if (blocks.size() < blocks.capacity()) return blocks.push_back(block);
        }
        std::free(block);
        account().give_back(size_of(kind, bytes));
    }

    // Give everything back to the C library.
    void clear() {
        const std::lock_guard lock(mutex_);
        for (int kind = kSmallest; kind <= kLargest; ++kind) {
            for (void* block : blocks_[kind]) std::free(block);
            account().give_back(blocks_[kind].size() << kind);
            blocks_[kind].clear();
        }
    }

private:
    // Powers of two; blocks beyond them, and more of one size than `kMostBlocks`, are not kept.
    static constexpr int kSmallest = 12, kLargest = 22, kMostBlocks = 16, kNumKinds = 64;

    BlockPool() {
        for (int kind = kSmallest; kind <= kLargest; ++kind) blocks_[kind].reserve(kMostBlocks);
    }

    static int kind_of(std::size_t bytes) {
        return std::bit_width(std::max<std::size_t>(bytes, 1) - 1);
    }
    static bool is_kept(int kind) { return kind >= kSmallest && kind <= kLargest; }
    // What is not kept takes no more than it needs.
    static std::size_t size_of(int kind, std::size_t bytes) {
        return is_kept(kind) ? std::size_t(1) << kind : taken_for(bytes);
    }
    static autoseg::MemoryAccount& account() { return autoseg::MemoryAccount::shared(); }

    std::mutex mutex_;
    std::vector<void*> blocks_[kNumKinds + 1];
};

template <class T>
struct PoolAllocator {
    using value_type = T;
    PoolAllocator() = default;
    template <class Other>
    PoolAllocator(const PoolAllocator<Other>&) {}

    T* allocate(std::size_t count) {
        return static_cast<T*>(BlockPool::shared().take(count * sizeof(T)));
    }
    void deallocate(T* memory, std::size_t count) noexcept {
        BlockPool::shared().give_back(memory, count * sizeof(T));
    }
    template <class Other>
    bool operator==(const PoolAllocator<Other>&) const {
        return true;
    }
};

template <class T>
using PooledVector = std::vector<T, PoolAllocator<T>>;

}  // namespace AUTOSEG_ISA
