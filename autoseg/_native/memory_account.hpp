// Memory that the CRF holds, counted before it is taken.
//
// The system gives out more memory than there is and kills the process that uses it. How much a
// lattice takes depends on the image, and is known only as it grows: so everything that can be large
// is counted here, and what would go beyond the allowance is refused before it is taken.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>

namespace autoseg {

// There is less memory than a call needs; the text is how many bytes that is at least, for Python.
class MemoryShortage : public std::bad_alloc {
public:
    explicit MemoryShortage(std::size_t needed);
    const char* what() const noexcept override { return text_; }

private:
    char text_[32];
};

class MemoryAccount {
public:
    static MemoryAccount& shared();

    // Count what is about to be taken; throw MemoryShortage if it may not.
    void take(std::size_t bytes);
    void give_back(std::size_t bytes) noexcept { held_ -= bytes; }

    std::size_t held() const { return held_; }
    // The most that was held since the first of the allowances at hand, or of the last ones.
    std::size_t peak() const { return peak_; }

private:
    friend class MemoryAllowance;
    std::atomic<std::size_t> held_{0}, peak_{0}, before_{0};
    std::atomic<std::size_t> limit_;
    std::atomic<int> num_allowances_{0};

    MemoryAccount();
};

// What may be taken while this exists, beyond what is held. Of several at a time, in threads, the
// last one holds for all: it has the latest news of the system.
class MemoryAllowance {
public:
    // available: bytes.
    explicit MemoryAllowance(std::size_t available);
    MemoryAllowance(const MemoryAllowance&) = delete;
    MemoryAllowance& operator=(const MemoryAllowance&) = delete;
    ~MemoryAllowance();
};

}  // namespace autoseg
