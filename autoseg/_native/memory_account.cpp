#include "memory_account.hpp"

#include <cstdio>
#include <limits>

namespace autoseg {

namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

}  // namespace

MemoryShortage::MemoryShortage(std::size_t needed) {
    std::snprintf(text_, sizeof(text_), "%zu", needed);
}

MemoryAccount::MemoryAccount() : limit_(kUnlimited) {}

MemoryAccount& MemoryAccount::shared() {
    static MemoryAccount& account = *new MemoryAccount;  // outlives whatever gives memory back
    return account;
}

void MemoryAccount::take(std::size_t bytes) {
    const std::size_t now = held_ += bytes;
    if (now > limit_) {
        held_ -= bytes;
        throw MemoryShortage(now - before_);
    }
    std::size_t peak = peak_;
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
}

MemoryAllowance::MemoryAllowance(std::size_t available) {
    MemoryAccount& account = MemoryAccount::shared();
    const std::size_t held = account.held_;
    if (account.num_allowances_++ == 0) account.peak_ = held;
    account.before_ = held;
    account.limit_ = available < kUnlimited - held ? held + available : kUnlimited;
}

MemoryAllowance::~MemoryAllowance() {
    MemoryAccount& account = MemoryAccount::shared();
    if (--account.num_allowances_ == 0) account.limit_ = kUnlimited;
}

}  // namespace autoseg
