// A row of numbers at every lattice point: what is splatted there, blurred and sliced.
#pragma once

#include "crf_lattice.hpp"

namespace AUTOSEG_ISA {

class LatticeTable {
public:
    static constexpr index_t L = kLanes<float>;

    // row: numbers at a point, a multiple of L. is_running: whether what is blurred is added up
    // from one `blur` to the next.
    LatticeTable(const Lattice& lattice, index_t row, bool is_running, Arena& memory)
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
        in_parallel(num_bands, int(num_bands), [&](index_t b) {
            Band& band = bands_[std::size_t(b)];
            band.splat = lattice_.corner_offsets(b, false, row_);
            if (num_bands > 1) band.slice = lattice_.corner_offsets(b, true, row_);
        });
        const index_t size = lattice_.num_points() * row_;
        if (is_running) {
            own_ = memory.zeros<float>(num_bands > 1 ? own * row_ : size);
            merged_ = num_bands > 1 ? memory.take<float>(size) : own_;
            sums_ = memory.zeros<float>(size);
            changes_ = memory.zeros<float>(size / L);
            for (Band& band : bands_) band.changes.resize(band.splat.size());
        } else {
            own_ = memory.take<float>(num_bands > 1 ? own * row_ : size);
            merged_ = memory.take<float>(size);
        }
        // The empty point stays 0 in either.
        std::memset(own_, 0, std::size_t(row_) * sizeof(float));
        std::memset(merged_, 0, std::size_t(row_) * sizeof(float));
    }

    index_t row() const { return row_; }
    float* splatted(index_t band) { return own_ + bands_[std::size_t(band)].first; }
    const float* blurred() const { return sums_ != nullptr ? sums_ : merged_; }
    // By how much the last `blur` moved any number at any corner of a band's simplices.
    const float* changes(index_t band) const { return bands_[std::size_t(band)].changes.data(); }
    // Where a simplex's corners are in either.
    const Lattice::Corners* splat_corners(index_t band) const {
        return bands_[std::size_t(band)].splat.data();
    }
    const Lattice::Corners* slice_corners(index_t band) const {
        const Band& of = bands_[std::size_t(band)];
        return (of.slice.empty() ? of.splat : of.slice).data();
    }

    // Forget what was splatted to a band's points. Added up, it is forgotten already.
    void clear(index_t band) {
        if (sums_ != nullptr) return;
        // With one band the table is blurred where it is: points that closing added count, too.
        const bool is_only = lattice_.num_bands() == 1;
        const index_t size = (is_only ? lattice_.num_points() : lattice_.band_points(band)) * row_;
        std::memset(own_ + bands_[std::size_t(band)].first, 0, std::size_t(size) * sizeof(float));
    }

    // From what was splatted to what slices read.
    //
    // weights: factors of a point's row in the end; null: none. is_reversed: last axis first.
    void blur(const float* weights, bool is_reversed, int num_threads) {
        if (lattice_.num_bands() > 1) {
            merge(num_threads);
        } else {
            std::swap(own_, merged_);  // one and the same if it is added up
        }
        for (int i = 0; i < kCorners; ++i) {
            const int axis = is_reversed ? kCorners - 1 - i : i;
            in_parallel(lattice_.num_parts(), num_threads, [&](index_t part) {
                const Lattice::Chains chains = lattice_.chains(axis, part);
                index_t x = 0;
                for (; x + 2 * L <= row_; x += 2 * L) blur_chains<2>(chains, x);
                for (; x < row_; x += L) blur_chains<1>(chains, x);
            });
        }
        if (sums_ != nullptr) {
            add_up(weights, num_threads);
            find_changes(num_threads);
        } else if (weights != nullptr) {
            in_parallel(num_threads, num_threads, [&](index_t part) {
                const Rows points = part_of(lattice_.num_points(), part, num_threads);
                for (index_t point = points.first; point < points.last; ++point) {
                    float* at = merged_ + point * row_;
                    for (index_t x = 0; x < row_; x += L) {
                        store(at + x, load(at + x) * load(weights + x));
                    }
                }
            });
        }
    }

private:
    struct Band {
        index_t first;  // of its rows in the bands' own table
        std::vector<Lattice::Corners> splat, slice;
        std::vector<float> changes;  // of simplices
    };

    // Blur Count vectors of a row, from x on, where they are. A point's row is read once, and
    // written when the next one's has been read.
    template <int Count>
    void blur_chains(const Lattice::Chains& chains, index_t x) {
        constexpr index_t kAhead = 16;  // points whose rows are fetched early
        static constexpr float kShare[2] = {0.5f, 0.f};  // of the next point, unless at an end
        if (chains.first == chains.last) return;
        float* table = merged_ + x;
        float* at = table + index_t(*chains.first & ~Lattice::kEnd) * row_;
        Vec<float> before[Count] = {}, centre[Count];
        unroll<Count>([&](auto i) AUTOSEG_INLINED { centre[i] = load(at + i * L); });
        for (const std::uint32_t* point = chains.first; point < chains.last; ++point) {
            // After the last one comes the empty point.
            const bool is_last = point + 1 == chains.last;
            float* next = table + (is_last ? 0 : index_t(point[1] & ~Lattice::kEnd) * row_);
            if (point + kAhead < chains.last) {
                const float* later = table + index_t(point[kAhead] & ~Lattice::kEnd) * row_;
                unroll<Count>([&](auto i) AUTOSEG_INLINED { __builtin_prefetch(later + i * L); });
            }
            const Vec<float> share = spread(kShare[*point / Lattice::kEnd]);
            unroll<Count>([&](auto i) AUTOSEG_INLINED {
                const Vec<float> after = load(next + i * L);
                store(at + i * L, centre[i] + before[i] + after * share);
                before[i] = centre[i] * share;
                centre[i] = after;
            });
            at = next;
        }
    }

    // Add what was blurred to what there was, note by how much that moved each point, and leave
    // zeros for what is splatted next.
    void add_up(const float* weights, int num_threads) {
        in_parallel(num_threads, num_threads, [&](index_t part) {
            const Rows points = part_of(lattice_.num_points(), part, num_threads);
            for (index_t point = points.first; point < points.last; ++point) {
                float* from = merged_ + point * row_;
                float* to = sums_ + point * row_;
                Vec<float> change{};
                for (index_t x = 0; x < row_; x += L) {
                    const Vec<float> value = load(from + x) * load(weights + x);
                    store(to + x, load(to + x) + value);
                    change = maximum<float>(change, maximum<float>(value, -value));
                    store(from + x, Vec<float>{});
                }
                changes_[point * (row_ / L)] = highest_lane(change);
            }
        });
    }

    void find_changes(int num_threads) {
        in_parallel(index_t(bands_.size()), num_threads, [&](index_t number) {
            Band& band = bands_[std::size_t(number)];
            const Lattice::Corners* corners = slice_corners(number);
            for (std::size_t s = 0; s < band.changes.size(); ++s) {
                float highest = 0;
                for (int k = 0; k < kCorners; ++k) {
                    highest = std::max(highest, changes_[corners[s].of[k] / std::uint32_t(L)]);
                }
                band.changes[s] = highest;
            }
        });
    }

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
                    float* from = own_ + bands_[std::size_t(b)].first + point * row_;
                    float* to = merged_ + index_t(names[std::size_t(point)]) * row_;
                    for (index_t x = 0; x < row_; x += L) {
                        store(to + x, load(to + x) + load(from + x));
                        if (sums_ != nullptr) store(from + x, Vec<float>{});
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
    float* own_;     // each band's points, one band after the other; all, if there is one band
    float* merged_;  // all points
    float* sums_ = nullptr;     // what every `blur` came to, if it is kept
    float* changes_ = nullptr;  // of a point, at its place among the vectors of a table
    std::vector<std::vector<std::uint32_t>> sorted_;
    std::vector<std::vector<index_t>> chunk_starts_;
};

}  // namespace AUTOSEG_ISA
