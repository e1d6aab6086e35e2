// A row of numbers at every lattice point: what is splatted there, blurred and sliced.
#pragma once

#include "crf_lattice.hpp"

namespace AUTOSEG_ISA {

class LatticeTable {
public:
    static constexpr index_t L = kLanes<float>;

    // row: numbers at a point, a multiple of L.
    LatticeTable(const Lattice& lattice, index_t row, Arena& memory)
        : lattice_(lattice), row_(row) {
        index_t own = 0;
        const index_t num_bands = lattice_.num_bands();
        bands_.resize(std::size_t(num_bands));
        for (index_t b = 0; b < num_bands; ++b) {
            bands_[std::size_t(b)].first = own * row_;
            own += lattice_.band_points(b);
        }
        if (std::max(own, lattice_.num_points()) * row_ > index_t(1) << 32) {
            throw std::overflow_error("LatticeTable: too many lattice points times labels.");
        }
        for (index_t b = 0; b < num_bands; ++b) {
            Band& band = bands_[std::size_t(b)];
            band.splat = lattice_.corner_offsets(b, false, row_);
            if (num_bands > 1) band.slice = lattice_.corner_offsets(b, true, row_);
        }
        own_ = memory.take<float>(std::max(own, lattice_.num_points()) * row_);
        merged_ = memory.take<float>(lattice_.num_points() * row_);
        // The empty point stays 0 in either.
        std::memset(own_, 0, std::size_t(row_) * sizeof(float));
        std::memset(merged_, 0, std::size_t(row_) * sizeof(float));
    }

    index_t row() const { return row_; }
    float* splatted(index_t band) { return own_ + bands_[std::size_t(band)].first; }
    const float* blurred() const { return merged_; }
    // Where a simplex's corners are in either.
    const Lattice::Corners* splat_corners(index_t band) const {
        return bands_[std::size_t(band)].splat.data();
    }
    const Lattice::Corners* slice_corners(index_t band) const {
        const Band& of = bands_[std::size_t(band)];
        return (of.slice.empty() ? of.splat : of.slice).data();
    }

    // Forget what was splatted to a band's points.
    void clear(index_t band) {
        // With one band the table is blurred where it is: points that closing added count, too.
        const bool is_only = lattice_.num_bands() == 1;
        const index_t size = (is_only ? lattice_.num_points() : lattice_.band_points(band)) * row_;
        std::memset(own_ + bands_[std::size_t(band)].first, 0, std::size_t(size) * sizeof(float));
    }

    // From what was splatted to what slices read.
    //
    // weights: factors of a point's row in the end; null: none. is_reversed: last axis first.
    void blur(const float* weights, bool is_reversed, int num_threads) {
        const index_t num_points = lattice_.num_points();
        float* from = own_;
        float* to = merged_;
        if (lattice_.num_bands() > 1) {
            merge(num_threads);
            std::swap(from, to);
            // Merged, the bands' own rows are free to blur in.
            std::memset(own_, 0, std::size_t(row_) * sizeof(float));
        }
        for (int i = 0; i < kCorners; ++i) {
            const std::uint32_t* next = lattice_.neighbours(is_reversed ? kCorners - 1 - i : i);
            const float* factors = i == kCorners - 1 ? weights : nullptr;
#pragma omp parallel for num_threads(num_threads) schedule(static)
            for (index_t point = 1; point < num_points; ++point) {
                const float* centre = from + point * row_;
                const float* ahead = from + index_t(next[2 * point]) * row_;
                const float* behind = from + index_t(next[2 * point + 1]) * row_;
                for (index_t x = 0; x < row_; x += L) {
                    Vec<float> sum = load(centre + x) +
                                     (load(ahead + x) + load(behind + x)) * spread(0.5f);
                    if (factors != nullptr) sum *= load(factors + x);
                    store(to + point * row_ + x, sum);
                }
            }
            std::swap(from, to);
        }
        // The result is in `from`; with one band the two tables changed places.
        if (lattice_.num_bands() == 1) {
            merged_ = from;
            own_ = to;
        }
    }

private:
    struct Band {
        index_t first;  // of its rows in the bands' own table
        std::vector<Lattice::Corners> splat, slice;
    };

    // Sum the bands' rows of each point, in the order of the bands.
    void merge(int num_threads) {
        constexpr index_t kChunks = 64;
        const index_t num_points = lattice_.num_points();
        if (chunk_starts_.empty()) find_chunks(kChunks);
#pragma omp parallel for num_threads(num_threads) schedule(static)
        for (index_t chunk = 0; chunk < kChunks; ++chunk) {
            const Rows part = part_of(num_points, chunk, kChunks);
            std::memset(merged_ + part.first * row_, 0,
                        std::size_t((part.last - part.first) * row_) * sizeof(float));
            for (index_t b = 0; b < lattice_.num_bands(); ++b) {
                const auto& sorted = sorted_[std::size_t(b)];
                const auto& names = lattice_.names(b);
                const auto& starts = chunk_starts_[std::size_t(b)];
                const index_t last = starts[std::size_t(chunk + 1)];
                for (index_t i = starts[std::size_t(chunk)]; i < last; ++i) {
                    const index_t point = index_t(sorted[std::size_t(i)]);
                    const float* from = own_ + bands_[std::size_t(b)].first + point * row_;
                    float* to = merged_ + index_t(names[std::size_t(point)]) * row_;
                    for (index_t x = 0; x < row_; x += L) {
                        store(to + x, load(to + x) + load(from + x));
                    }
                }
            }
        }
    }

    // The points of each band by the part of all points that they belong to.
    void find_chunks(index_t num_chunks) {
        const index_t num_points = lattice_.num_points();
        for (index_t b = 0; b < lattice_.num_bands(); ++b) {
            const auto& names = lattice_.names(b);
            std::vector<std::vector<std::uint32_t>> parts{std::size_t(num_chunks)};
            for (std::size_t i = 1; i < names.size(); ++i) {
                index_t chunk = index_t(names[i]) * num_chunks / num_points;
                while (part_of(num_points, chunk, num_chunks).last <= index_t(names[i])) ++chunk;
                parts[std::size_t(chunk)].push_back(std::uint32_t(i));
            }
            std::vector<std::uint32_t> sorted;
            std::vector<index_t> starts(1, 0);
            for (const auto& part : parts) {
                sorted.insert(sorted.end(), part.begin(), part.end());
                starts.push_back(index_t(sorted.size()));
            }
            sorted_.push_back(std::move(sorted));
            chunk_starts_.push_back(std::move(starts));
        }
    }

    const Lattice& lattice_;
    index_t row_;
    std::vector<Band> bands_;
    float* own_;     // each band's points, one band after the other
    float* merged_;  // all points
    std::vector<std::vector<std::uint32_t>> sorted_;
    std::vector<std::vector<index_t>> chunk_starts_;
};

}  // namespace AUTOSEG_ISA
