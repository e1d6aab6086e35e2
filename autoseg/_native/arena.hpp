// Scratch memory that is kept from call to call, one arena a thread.
#pragma once

#include <cstdlib>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "vec.hpp"
#include "memory_account.hpp"

namespace AUTOSEG_ISA {

inline constexpr std::size_t kHugePage = std::size_t(1) << 21;

// Ask that memory come in pages of 2 MiB: passes that jump about in megabytes lose a tenth of their
// time to looking up pages of 4 KiB. Only where the system leaves the choice to programs.
inline void prefer_huge_pages(void* memory, std::size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr std::uintptr_t kHuge = kHugePage;
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    const std::uintptr_t first = (address + kHuge - 1) / kHuge * kHuge;
    const std::uintptr_t last = (address + size) / kHuge * kHuge;
    // A refusal changes nothing but the time.
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
    (void)memory, (void)size;
#endif
}

// Bytes that are taken for at least `size`: whole huge pages, or whole cache lines.
inline std::size_t taken_for(std::size_t size) {
    const std::size_t unit = size < kHugePage ? std::size_t(64) : kHugePage;
    return (size + unit - 1) / unit * unit;
}

// Take memory from the C library, aligned for vectors, and free it with std::free.
//
// size: what `taken_for` makes. account: where it is counted before it is taken. Null: nowhere.
inline void* take_memory(std::size_t size, autoseg::MemoryAccount* account) {
    if (account != nullptr) account->take(size);
    void* memory = std::aligned_alloc(size < kHugePage ? std::size_t(64) : kHugePage, size);
    if (memory == nullptr) {
        if (account != nullptr) account->give_back(size);
        throw std::bad_alloc();
    }
    prefer_huge_pages(memory, size);
    return memory;
}

class Arena {
public:
    // account: where its memory is counted before it is taken. Null: nowhere.
    explicit Arena(autoseg::MemoryAccount* account = nullptr) : account_(account) {}
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena() { release(); }

    // Memory that it holds.
    std::size_t size() const {
        std::size_t total = 0;
        for (const Piece& piece : pieces_) total += piece.size;
        return total;
    }

    // Give everything back to the system.
    void release() {
        for (const Piece& piece : pieces_) {
            std::free(piece.memory);
            if (account_ != nullptr) account_->give_back(piece.size);
        }
        pieces_.clear();
        used_ = 0;
    }

    // Forget what was taken. Memory that came in several pieces becomes one of their size.
    void reset() {
        if (pieces_.size() > 1) {
            const std::size_t total = size();
            release();
            add_piece(total);
        }
        used_ = 0;
    }

    // Memory for `count` elements, aligned for vectors, not initialised.
    template <class T>
    T* take(index_t count) {
        const std::size_t bytes = (std::size_t(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
        if (pieces_.empty() || used_ + bytes > pieces_.back().size) {
            add_piece(std::max(bytes, kSmallest));
            used_ = 0;
        }
        void* memory = pieces_.back().memory + used_;
        used_ += bytes;
        return static_cast<T*>(memory);
    }

    template <class T>
    T* zeros(index_t count) {
        T* memory = take<T>(count);
        std::memset(static_cast<void*>(memory), 0, std::size_t(count) * sizeof(T));
        return memory;
    }

private:
    struct Piece {
        char* memory;
        std::size_t size;
    };
    static constexpr std::size_t kAlign = 64;
    static constexpr std::size_t kSmallest = std::size_t(1) << 20;

    void add_piece(std::size_t size) {
        pieces_.reserve(pieces_.size() + 1);  // or memory would be lost if this threw
        size = taken_for(size);
        pieces_.push_back({static_cast<char*>(take_memory(size, account_)), size});
    }

    autoseg::MemoryAccount* account_;
    std::vector<Piece> pieces_;
    std::size_t used_ = 0;
};

}  // namespace AUTOSEG_ISA
