// The permutohedral lattice over the pixels of an image: which points exist.
//
// The definition is that of autoseg/crf/permutohedral.py, in the same double precision and order of
// operations, so that the same points exist. Each thread names the simplices and points of a band
// of rows; the bands' points are then merged in order.
#pragma once

#include <vector>

#include "../arena.hpp"
#include "bands.hpp"
#include "chains.hpp"
#include "simplex.hpp"

namespace AUTOSEG_ISA {

class Lattice {
public:
    // A number for each corner of a simplex, as what a pixel is splatted with: its barycentric
    // coordinates, and two zeros.
    struct alignas(32) CornerValues {
        float corner[8];
    };
    struct alignas(32) Corners {
        std::uint32_t corner[8];
    };

    // Find the simplex of every pixel, and the points.
    //
    // fill(row, features): write the features of a row's pixels, (kDims, pitch), already scaled.
    // lowest, highest: of the scaled features. memory: keeps what each pixel is given.
    template <class Fill>
    Lattice(const std::vector<Rows>& bands, index_t width, index_t pitch, bool closed,
            const double* lowest, const double* highest, Arena& memory, int num_threads,
            Fill&& fill)
        : keys_(lowest, highest), width_(width), pitch_(pitch), num_threads_(num_threads) {
        const index_t num_pixels = bands.back().last * pitch;
        weights_ = memory.take<CornerValues>(num_pixels);
        simplex_ = memory.take<std::uint32_t>(num_pixels);
        bands_.resize(bands.size());
        in_parallel(index_t(bands.size()), num_threads, [&](index_t i) {
            Band& band = bands_[std::size_t(i)];
            band.rows = bands[std::size_t(i)];
            find_simplices(band, fill);
            name_points(band);
        });
        merge_points();
        if (closed) close();
        chains_ = AxisChains(keys_, std::move(index_), points_, num_threads);
    }

    index_t num_points() const { return index_t(points_.size()); }  // the empty point 0 included
    index_t num_bands() const { return index_t(bands_.size()); }
    Rows rows(index_t band) const { return bands_[std::size_t(band)].rows; }
    // Points of a band that no earlier one has, without the empty point; and those that closing
    // added.
    Rows own_points(index_t band) const { return bands_[std::size_t(band)].own; }
    Rows added_points() const { return {bands_.back().own.last, num_points()}; }
    // Whether an earlier band has a band's point, too.
    bool is_shared(index_t band, std::uint32_t name) const {
        return name != 0 && index_t(name) < own_points(band).first;
    }
    const CornerValues* weights(index_t pixel) const { return weights_ + pixel; }
    const std::uint32_t* simplices(index_t pixel) const { return simplex_ + pixel; }
    const AxisChains& chains() const { return chains_; }
    // Name among all points of each of a band's.
    const PooledVector<std::uint32_t>& names(index_t band) const {
        return bands_[std::size_t(band)].names;
    }

    // Corners of a band's simplices: what splat and slice add to the address of a table.
    //
    // places: of each of the band's points in it. row: numbers at a place.
    PooledVector<Corners> corner_offsets(index_t band, const PooledVector<std::uint32_t>& places,
                                         index_t row) const {
        PooledVector<Corners> offsets(bands_[std::size_t(band)].corners);
        for (Corners& corners : offsets) {
            for (std::uint32_t& at : corners.corner) at = places[at] * std::uint32_t(row);
        }
        return offsets;
    }

    // Filter an image of ones.
    //
    // f(row, sums): is given a row's result, (pitch,), 0 in the padding, in which it may write;
    // bands' rows one after the other.
    template <class F>
    void product_of_ones(F&& f) const {
        const PooledVector<float> values = blurred_masses();
        in_parallel(num_bands(), num_threads_, [&](index_t b) {
            const Band& band = bands_[std::size_t(b)];
            PooledVector<CornerValues> sliced(band.corners.size());
            for (std::size_t s = 0; s < sliced.size(); ++s) {
                for (int k = 0; k < kCorners; ++k) {
                    sliced[s].corner[k] = values[band.names[band.corners[s].corner[k]]];
                }
            }
            PooledVector<float> sums(static_cast<std::size_t>(pitch_));
            for (index_t y = band.rows.first; y < band.rows.last; ++y) {
                for (index_t x = 0; x < pitch_; x += kLanes<float>) {
                    store(&sums[std::size_t(x)], sliced_masses(sliced.data(), y * pitch_ + x));
                }
                f(y, sums.data());
            }
        });
    }

    // Multiply what a row's pixels are splatted and sliced with: factors, (pitch,).
    void scale(index_t y, const float* factors) {
        CornerValues* weights = weights_ + y * pitch_;
        for (index_t x = 0; x < pitch_; ++x) {
            for (float& weight : weights[x].corner) weight *= factors[x];
        }
    }

    // Free what only `corner_offsets` and `product_of_ones` need.
    void forget_corners() {
        for (Band& band : bands_) {
            band.corners = {};
            band.masses = {};
        }
    }

private:
    struct Band {
        Rows rows;
        PooledVector<SimplexKey> simplices;
        PooledVector<Corners> corners;       // of each simplex, among `points`
        PooledVector<CornerValues> masses;   // sum of the weights of each simplex's pixels
        PooledVector<std::uint64_t> points;  // keys; the first is the empty point
        PooledVector<std::uint32_t> names;   // among all points
        Rows own;                            // of them, those that no earlier band has
        HashIndex<std::uint64_t> index;      // of points
    };

    // At every point, what ones are splatted and blurred to.
    PooledVector<float> blurred_masses() const {
        std::vector<PooledVector<float>> splatted(bands_.size());
        in_parallel(num_bands(), num_threads_, [&](index_t b) {
            const Band& band = bands_[std::size_t(b)];
            PooledVector<float>& to = splatted[std::size_t(b)];
            to.resize(band.points.size());
            for (std::size_t s = 0; s < band.corners.size(); ++s) {
                for (int k = 0; k < kCorners; ++k) {
                    to[band.corners[s].corner[k]] += band.masses[s].corner[k];
                }
            }
        });
        PooledVector<float> values(static_cast<std::size_t>(num_points()));
        for (std::size_t b = 0; b < bands_.size(); ++b) {
            for (std::size_t i = 0; i < splatted[b].size(); ++i) {
                values[bands_[b].names[i]] += splatted[b][i];
            }
        }
        for (int axis = 0; axis < kCorners; ++axis) {
            in_parallel(chains_.num_parts(), num_threads_, [&](index_t part) {
                const AxisChains::Part chains = chains_.part(axis, part);
                float before = 0, centre = 0;
                if (chains.first < chains.last) centre = values[*chains.first & ~AxisChains::kEnd];
                for (const std::uint32_t* at = chains.first; at < chains.last; ++at) {
                    const float after = at + 1 < chains.last ? values[at[1] & ~AxisChains::kEnd] : 0;
                    const bool is_end = *at & AxisChains::kEnd;
                    values[*at & ~AxisChains::kEnd] = centre + 0.5f * (before + (is_end ? 0 : after));
                    before = is_end ? 0 : centre;
                    centre = after;
                }
            });
        }
        return values;
    }

    // What L pixels are given by the values at their simplices' corners.
    template <int kCount = 8>
    AUTOSEG_INLINE Vec<float> sliced_masses(const CornerValues* sliced, index_t pixel) const {
        constexpr index_t L = kLanes<float>;
        const CornerValues* weights = weights_ + pixel;
        const std::uint32_t* simplex = simplex_ + pixel;
        if constexpr (L < kCount) {
            Vec<float> sums{};
            for (index_t i = 0; i < L; ++i) {
                for (int k = 0; k < kCorners; ++k) {
                    sums[i] += weights[i].corner[k] * sliced[simplex[i]].corner[k];
                }
            }
            return sums;
        } else {
            using Row = typename RowOf<kCount>::type;
            const auto products = [&](index_t i) AUTOSEG_INLINED {
                return *reinterpret_cast<const Row*>(weights[i].corner) *
                       *reinterpret_cast<const Row*>(sliced[simplex[i]].corner);
            };
            Vec<float> rows[kCount];
            unroll<kCount>([&](auto i) AUTOSEG_INLINED {
                if constexpr (L == kCount) {
                    rows[i] = products(i);
                } else {
                    rows[i] = join(products(i), products(i + kCount));
                }
            });
            transpose<kCount>(rows);
            return ((rows[0] + rows[1]) + (rows[2] + rows[3])) + (rows[4] + rows[5]);
        }
    }

    template <class Fill>
    void find_simplices(Band& band, Fill&& fill) {
        const std::size_t expected = num_pixels(band) / 4;
        HashIndex<SimplexKey> index(expected);
        band.simplices.reserve(expected);
        band.masses.reserve(expected);
        SimplexRow row(pitch_);
        for (index_t y = band.rows.first; y < band.rows.last; ++y) {
            fill(y, row.features());
            row.embed(keys_);
            for (index_t x = 0; x < width_; ++x) index.prefetch(row.key(x));
            // All of them before any is read again: what was just stored takes a while to arrive.
            CornerValues* weights = weights_ + y * pitch_;
            for (index_t x = 0; x < pitch_; x += kLanes<float>) row.weights(x, weights[x].corner);
            std::uint32_t* simplex = simplex_ + y * pitch_;
            constexpr int kTogether = 8;
            index_t x = 0;
            for (; x + kTogether <= width_; x += kTogether) {
                SimplexKey keys[kTogether];
                std::uint32_t next_numbers[kTogether];
                for (int i = 0; i < kTogether; ++i) keys[i] = row.key(x + i);
                index.find<kTogether>(keys, band.simplices, next_numbers);
                for (int i = 0; i < kTogether; ++i) {
                    simplex[x + i] = next_numbers[i] != 0 ? next_numbers[i] - 1
                                                          : index.insert(keys[i], band.simplices);
                }
            }
            for (; x < width_; ++x) simplex[x] = index.insert(row.key(x), band.simplices);
            // A loop of its own, so that additions far apart wait for memory at the same time.
            band.masses.resize(band.simplices.size());
            for (index_t x = 0; x < width_; ++x) {
                CornerValues& mass = band.masses[simplex[x]];
                for (int k = 0; k < 8; ++k) mass.corner[k] += weights[x].corner[k];
            }
            for (index_t x = width_; x < pitch_; ++x) {
                weights[x] = CornerValues{};
                simplex[x] = 0;
            }
        }
    }

    void name_points(Band& band) {
        constexpr std::size_t kAhead = 4;  // simplices whose entries are fetched early
        const std::size_t count = band.simplices.size();
        // The more simplices, the fewer of them share a point.
        const std::size_t expected = 2 * count * count / num_pixels(band);
        band.index = HashIndex<std::uint64_t>(expected, keys_.are_short());
        band.corners.resize(count);
        band.points.assign(1, 0);
        std::uint64_t ring[2 * kAhead][kCorners];  // keys of the corners of the next simplices
        const auto ask_for = [&](std::size_t s) {
            std::uint64_t* keys = ring[s % (2 * kAhead)];
            keys_.corners(band.simplices[s], keys);
            for (int k = 0; k < kCorners; ++k) band.index.prefetch(keys[k]);
        };
        for (std::size_t s = 0; s < std::min(kAhead, count); ++s) ask_for(s);
        for (std::size_t s = 0; s < count; ++s) {
            if (s + kAhead < count) ask_for(s + kAhead);
            const std::uint64_t* keys = ring[s % (2 * kAhead)];
            std::uint32_t next_numbers[kCorners];
            band.index.find<kCorners>(keys, band.points, next_numbers);
            for (int k = 0; k < kCorners; ++k) {
                band.corners[s].corner[k] = next_numbers[k] != 0
                    ? next_numbers[k] - 1 : band.index.insert(keys[k], band.points);
            }
        }
        band.simplices = {};
    }

    std::size_t num_pixels(const Band& band) const {
        return std::size_t((band.rows.last - band.rows.first) * width_);
    }

    void merge_points() {
        index_ = std::move(bands_[0].index);
        points_ = bands_[0].points;
        for (Band& band : bands_) {
            const bool is_first = &band == &bands_[0];
            band.own.first = is_first ? 1 : index_t(points_.size());
            band.names.resize(band.points.size());
            for (std::size_t i = 1; i < band.points.size(); ++i) {
                band.names[i] =
                    is_first ? std::uint32_t(i) : index_.insert(band.points[i], points_);
            }
            band.own.last = index_t(points_.size());
            band.index = HashIndex<std::uint64_t>();
        }
    }

    static constexpr std::size_t kClosedShare = 4;  // room for closed points, in open ones; a guess

    // Add the neighbours of all points, but not the neighbours of those.
    void close() {
        constexpr std::size_t kAhead = 4;
        constexpr int kNeighbours = 2 * kCorners;
        const std::size_t count = points_.size();
        const auto neighbour = [&](std::size_t i, int k) {
            const std::uint64_t step = keys_.step(k / 2);
            return k % 2 == 0 ? points_[i] + step : points_[i] - step;
        };
        index_.reserve(kClosedShare * count, points_);
        points_.reserve(kClosedShare * count);
        for (std::size_t i = 1; i < count; ++i) {
            for (int k = 0; k < kNeighbours && i + kAhead < count; ++k) {
                index_.prefetch(neighbour(i + kAhead, k));
            }
            std::uint64_t keys[kNeighbours];
            std::uint32_t next_numbers[kNeighbours];
            for (int k = 0; k < kNeighbours; ++k) keys[k] = neighbour(i, k);
            index_.template find<kNeighbours>(keys, points_, next_numbers);
            for (int k = 0; k < kNeighbours; ++k) {
                if (next_numbers[k] == 0) index_.insert(keys[k], points_);
            }
        }
    }

    LatticeKeys keys_;
    index_t width_, pitch_;
    int num_threads_;
    CornerValues* weights_;
    std::uint32_t* simplex_;
    std::vector<Band> bands_;
    HashIndex<std::uint64_t> index_;
    PooledVector<std::uint64_t> points_;
    AxisChains chains_;
};

}  // namespace AUTOSEG_ISA
