// A row of numbers at every lattice point: what is splatted there, blurred and sliced.
#pragma once

#include "lattice.hpp"

namespace AUTOSEG_ISA {

class LatticeTable {
public:
    // row: numbers at a point, a multiple of kHalfRow.
    LatticeTable(const Lattice& lattice, index_t row, Arena& memory)
        : lattice_(lattice), row_(row) {
        const index_t num_bands = lattice_.num_bands();
        bands_.resize(std::size_t(num_bands));
        index_t num_rows = lattice_.num_points();
        for (index_t b = 0; b < num_bands; ++b) {
            Band& band = bands_[std::size_t(b)];
            band.first_shared = num_rows;
            for (std::uint32_t name : lattice_.names(b)) {
                if (lattice_.is_shared(b, name)) band.shared.push_back(name);
            }
            num_rows += index_t(band.shared.size());
        }
        if (num_rows * row_ > index_t(1) << 32) {
            throw std::overflow_error("LatticeTable: too many lattice points times labels.");
        }
        in_parallel(num_bands, int(num_bands), [&](index_t b) {
            Band& band = bands_[std::size_t(b)];
            PooledVector<std::uint32_t> places(lattice_.names(b));
            band.slice = lattice_.corner_offsets(b, places, row_);
            if (band.shared.empty()) return;
            index_t shared = band.first_shared;
            for (std::uint32_t& place : places) {
                if (lattice_.is_shared(b, place)) place = std::uint32_t(shared++);
            }
            band.splat = lattice_.corner_offsets(b, places, row_);
        });
        splatted_ = memory.take<float>(num_rows * row_);
        blurred_ = memory.take<float>(num_rows * row_);
        // The empty point stays 0 in either.
        std::memset(splatted_, 0, std::size_t(row_) * sizeof(float));
        std::memset(blurred_, 0, std::size_t(row_) * sizeof(float));
    }

    float* splatted() { return splatted_; }
    const float* blurred() const { return blurred_; }
    // Where a band's simplices' corners are in either.
    const Lattice::Corners* splat_corners(index_t band) const {
        const Band& chosen = bands_[std::size_t(band)];
        return (chosen.splat.empty() ? chosen.slice : chosen.splat).data();
    }
    const Lattice::Corners* slice_corners(index_t band) const {
        return bands_[std::size_t(band)].slice.data();
    }

    // Forget what was splatted to a band's points.
    void clear(index_t band) {
        const Band& chosen = bands_[std::size_t(band)];
        clear_rows(lattice_.own_points(band));
        clear_rows({chosen.first_shared, chosen.first_shared + index_t(chosen.shared.size())});
        // Nothing is splatted to the points that closing added, but the blur wrote to them.
        const Rows added = lattice_.added_points();
        const Rows part = part_of(added.last - added.first, band, lattice_.num_bands());
        clear_rows({added.first + part.first, added.first + part.last});
    }

    // From what was splatted to what slices read.
    //
    // is_reversed: last axis first.
    void blur(bool is_reversed, int num_threads) {
        std::swap(splatted_, blurred_);
        join_shared(num_threads);
        for (int i = 0; i < kCorners; ++i) {
            const int axis = is_reversed ? kCorners - 1 - i : i;
            in_parallel(lattice_.chains().num_parts(), num_threads, [&](index_t part) {
                const AxisChains::Part chains = lattice_.chains().part(axis, part);
                index_t x = 0;
                for (; x + 4 * kHalfRow <= row_; x += 4 * kHalfRow) blur_chains<4>(chains, x);
                if (row_ - x == 3 * kHalfRow) blur_chains<3>(chains, x);
                if (row_ - x == 2 * kHalfRow) blur_chains<2>(chains, x);
                if (row_ - x == kHalfRow) blur_chains<1>(chains, x);
            });
        }
    }

private:
    // Bands splat at the same time: to points that an earlier band has as well, in rows of their
    // own behind all points.
    struct Band {
        index_t first_shared;               // of those rows
        PooledVector<std::uint32_t> shared;  // the points
        PooledVector<Lattice::Corners> slice, splat;  // splat: empty if it is the same
    };

    void clear_rows(Rows rows) {
        const std::size_t size = std::size_t((rows.last - rows.first) * row_) * sizeof(float);
        std::memset(splatted_ + rows.first * row_, 0, size);
    }

    // Add what bands splatted to shared points, in the order of the bands.
    void join_shared(int num_threads) {
        for (const Band& band : bands_) {
            if (band.shared.empty()) continue;
            in_parallel(num_threads, num_threads, [&](index_t part) {
                const Rows rows = part_of(index_t(band.shared.size()), part, num_threads);
                const Half* from = row_of(blurred_, std::uint32_t(band.first_shared + rows.first));
                for (index_t i = rows.first; i < rows.last; ++i) {
                    Half* to = row_of(blurred_, band.shared[std::size_t(i)]);
                    for (index_t x = 0; x < row_ / kHalfRow; ++x) *to++ += *from++;
                }
            });
        }
    }

    using Half = RowOf<kHalfRow>::type;

    // Blur Count half vectors of a row, from x on, where they are. A point's row is read once, and
    // written when the next one's has been read.
    template <int Count>
    void blur_chains(const AxisChains::Part& chains, index_t x) {
        constexpr index_t kAhead = 16;  // points whose rows are fetched early
        static constexpr float kShare[2] = {0.5f, 0.f};  // of the next point, unless at an end
        if (chains.first == chains.last) return;
        float* table = blurred_ + x;
        Half* at = row_of(table, *chains.first);
        Half before[Count] = {}, centre[Count];
        unroll<Count>([&](auto i) AUTOSEG_INLINED { centre[i] = at[i]; });
        for (const std::uint32_t* point = chains.first; point < chains.last; ++point) {
            // After the last one comes the empty point.
            Half* next = row_of(table, point + 1 == chains.last ? 0 : point[1]);
            if (point + kAhead < chains.last) {
                const Half* later = row_of(table, point[kAhead]);
                __builtin_prefetch(later);
                if constexpr (Count > 2) __builtin_prefetch(later + 2);
            }
            const float share = kShare[*point / AxisChains::kEnd];
            unroll<Count>([&](auto i) AUTOSEG_INLINED {
                const Half after = next[i];
                at[i] = centre[i] + before[i] + after * share;
                before[i] = centre[i] * share;
                centre[i] = after;
            });
            at = next;
        }
    }

    Half* row_of(float* table, std::uint32_t point) const {
        return reinterpret_cast<Half*>(table + index_t(point & ~AxisChains::kEnd) * row_);
    }

    const Lattice& lattice_;
    index_t row_;
    std::vector<Band> bands_;
    float* splatted_;  // all points, then what bands share
    float* blurred_;
};

}  // namespace AUTOSEG_ISA
