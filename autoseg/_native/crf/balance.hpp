// Which rows of pixels each thread works on.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bands.hpp"
#include "../kernels.hpp"

namespace AUTOSEG_ISA {

// How much longer a row takes where its colours change a lot: more lattice points lie around its
// pixels, so that fewer of them are in the cache. `change` is from pixel to pixel, in the bilateral
// kernel's deviations. A rough fit to profiles; a bad one costs time alone.
inline double row_cost(double change) { return 1 + 0.6 * change / (change + 4); }

// Mean over some of a row's pixels of how much the colours change to the next.
template <class T>
double mean_change(const T* image, const autoseg::CrfCall& call, index_t y) {
    constexpr index_t kStep = 4;
    float sum = 0;
    index_t count = 0;
    for (index_t x = 0; x + 1 < call.width; x += kStep, ++count) {
        for (index_t colour = 0; colour < 3; ++colour) {
            const T* at = image + (colour * call.height + y) * call.width + x;
            sum += std::abs(float(at[1]) - float(at[0]));
        }
    }
    return count == 0 ? 0 : double(sum) / double(count);
}

// A band of pairs of rows for each thread, as far as there are pairs, of about equal cost.
inline std::vector<Rows> balanced_bands(const autoseg::CrfCall& call) {
    const index_t pairs = (call.height + 1) / 2;
    const index_t num_bands = std::clamp<index_t>(call.num_threads, 1, pairs);
    double std = std::numeric_limits<double>::infinity();
    for (index_t m = 0; m < call.num_bilateral; ++m) std = std::min(std, call.bilateral[m].rgb_std);
    std::vector<double> costs(1, 0.0);  // of all pairs before one
    for (index_t pair = 0; num_bands > 1 && pair < pairs; ++pair) {
        const double change = call.bytes != nullptr ? mean_change(call.bytes, call, 2 * pair)
                                                    : mean_change(call.image, call, 2 * pair);
        costs.push_back(costs.back() + row_cost(change / std));
    }
    std::vector<Rows> bands;
    index_t first = 0;
    for (index_t band = 1; band <= num_bands; ++band) {
        index_t last = pairs;
        if (band < num_bands) {
            const double share = costs.back() * double(band) / double(num_bands);
            last = std::lower_bound(costs.begin(), costs.end(), share) - costs.begin();
            last = std::clamp(last, first + 1, pairs - (num_bands - band));
        }
        bands.push_back({2 * first, std::min(2 * last, call.height)});
        first = last;
    }
    return bands;
}

}  // namespace AUTOSEG_ISA
