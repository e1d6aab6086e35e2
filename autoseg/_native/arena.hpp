// Scratch memory that is kept from call to call, one arena a thread.
#pragma once

#include <cstdlib>
#include <new>
#include <vector>

#include "geometry.hpp"

namespace AUTOSEG_ISA {

class Arena {
public:
    Arena() = default;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena() { release(); }

    // Forget what was taken. Memory that came in several pieces becomes one of their size.
    void reset() {
        if (pieces_.size() > 1) {
            std::size_t total = 0;
            for (const Piece& piece : pieces_) total += piece.size;
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
        void* memory = std::aligned_alloc(kAlign, (size + kAlign - 1) / kAlign * kAlign);
        if (memory == nullptr) throw std::bad_alloc();
        pieces_.push_back({static_cast<char*>(memory), size});
    }

    void release() {
        for (const Piece& piece : pieces_) std::free(piece.memory);
        pieces_.clear();
    }

    std::vector<Piece> pieces_;
    std::size_t used_ = 0;
};

}  // namespace AUTOSEG_ISA
