// How an image is shared among threads: bands of rows.
#pragma once

#include <exception>
#include <vector>

#include "../vec.hpp"

namespace AUTOSEG_ISA {

// Rows of an image that one thread works on.
struct Rows {
    index_t first, last;
};

// Run f(0), ..., f(count - 1) on the threads; throw what the first of them threw.
template <class F>
void in_parallel(index_t count, int num_threads, F&& f) {
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(count));
    // One thread each, whatever the team's size: the partition decides what is summed with what.
#pragma omp parallel for num_threads(num_threads) schedule(static, 1)
    for (index_t i = 0; i < count; ++i) {
        try {
            f(i);
        } catch (...) {
            errors[std::size_t(i)] = std::current_exception();
        }
    }
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

// Part `i` of `count` of a range, in order.
inline Rows part_of(index_t size, index_t i, index_t count) {
    return {size * i / count, size * (i + 1) / count};
}

}  // namespace AUTOSEG_ISA
