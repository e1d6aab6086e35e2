// The permutohedral lattice over the pixels of an image: which points exist, and who is next to
// whom.
//
// The definition is that of autoseg/crf/permutohedral.py, in the same double precision and order of
// operations, so that the same points exist. Each thread names the simplices and points of a band
// of rows; the bands' points are then merged in order.
#pragma once

#include <array>
#include <bit>
#include <vector>

#include "arena.hpp"
#include "crf_bands.hpp"
#include "crf_hash.hpp"
#include "crf_simplex.hpp"

namespace AUTOSEG_ISA {

class Lattice {
public:
    // What a pixel is splatted to with: its barycentric coordinates, and two zeros.
    struct alignas(32) Eight {
        float of[8];
    };
    struct alignas(32) Corners {
        std::uint32_t of[8];
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
        weights_ = memory.take<Eight>(num_pixels);
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
        find_neighbours();
    }

    index_t num_points() const { return index_t(points_.size()); }  // the empty point 0 included
    index_t num_bands() const { return index_t(bands_.size()); }
    Rows rows(index_t band) const { return bands_[std::size_t(band)].rows; }
    // Points of a band, the empty point 0 included.
    index_t band_points(index_t band) const {
        return index_t(bands_[std::size_t(band)].points.size());
    }
    const Eight* weights(index_t pixel) const { return weights_ + pixel; }
    const std::uint32_t* simplices(index_t pixel) const { return simplex_ + pixel; }
    // The two points next to each point along an axis, or the empty point 0: (points, 2).
    const std::uint32_t* neighbours(int axis) const {
        return neighbours_.data() + axis * 2 * num_points();
    }
    // Name among all points of each of a band's.
    const std::vector<std::uint32_t>& names(index_t band) const {
        return bands_[std::size_t(band)].names;
    }

    // Corners of a band's simplices times `row`, among the band's points and among all: what splat
    // and slice add to the address of their table.
    std::vector<Corners> corner_offsets(index_t band, bool among_all, index_t row) const {
        const Band& from = bands_[std::size_t(band)];
        std::vector<Corners> offsets(from.corners);
        for (Corners& corners : offsets) {
            for (std::uint32_t& corner : corners.of) {
                corner = (among_all ? from.names[corner] : corner) * std::uint32_t(row);
            }
        }
        return offsets;
    }

    // Filter an image of ones: (pixels,), padding included.
    void product_of_ones(float* result) const {
        const std::size_t count = std::size_t(num_points());
        std::vector<float> values(count), blurred(count);
        for (const Band& band : bands_) {
            for (std::size_t s = 0; s < band.corners.size(); ++s) {
                for (int k = 0; k < kCorners; ++k) {
                    values[band.names[band.corners[s].of[k]]] += band.masses[s].of[k];
                }
            }
        }
        for (int axis = 0; axis < kCorners; ++axis) {
            const std::uint32_t* next = neighbours(axis);
            blurred[0] = 0;
#pragma omp parallel for num_threads(num_threads_) schedule(static)
            for (std::size_t i = 1; i < count; ++i) {
                blurred[i] = values[i] + 0.5f * (values[next[2 * i]] + values[next[2 * i + 1]]);
            }
            values.swap(blurred);
        }
        in_parallel(num_bands(), num_threads_, [&](index_t b) {
            const Band& band = bands_[std::size_t(b)];
            std::vector<Eight> sliced(band.corners.size());
            for (std::size_t s = 0; s < sliced.size(); ++s) {
                for (int k = 0; k < kCorners; ++k) {
                    sliced[s].of[k] = values[band.names[band.corners[s].of[k]]];
                }
            }
            for (index_t i = band.rows.first * pitch_; i < band.rows.last * pitch_; ++i) {
                const float* w = weights_[i].of;
                const float* v = sliced[simplex_[i]].of;
                result[i] = ((w[0] * v[0] + w[1] * v[1]) + (w[2] * v[2] + w[3] * v[3])) +
                            (w[4] * v[4] + w[5] * v[5]);
            }
        });
    }

    // Multiply what each pixel is splatted and sliced with: factors, (pixels,), padding included.
    void scale(const float* factors) {
        in_parallel(num_bands(), num_threads_, [&](index_t b) {
            const Rows rows = bands_[std::size_t(b)].rows;
            for (index_t i = rows.first * pitch_; i < rows.last * pitch_; ++i) {
                for (float& weight : weights_[i].of) weight *= factors[i];
            }
        });
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
        std::vector<SimplexKey> simplices;
        std::vector<Corners> corners;      // of each simplex, among `points`
        std::vector<Eight> masses;         // sum of the weights of each simplex's pixels
        std::vector<std::uint64_t> points;  // keys; the first is the empty point
        std::vector<std::uint32_t> names;   // among all points
        HashIndex index;                    // of points
    };

    template <class Fill>
    void find_simplices(Band& band, Fill&& fill) {
        HashIndex index(capacity_for((band.rows.last - band.rows.first) * width_ / 4));
        SimplexRow row(pitch_);
        for (index_t y = band.rows.first; y < band.rows.last; ++y) {
            fill(y, row.features());
            row.embed(keys_);
            for (index_t x = 0; x < width_; ++x) index.prefetch(row.key(x));
            // All of them before any is read again: a vector of numbers that were stored one by one
            // has to wait until they have left the store buffer.
            Eight* weights = weights_ + y * pitch_;
            for (index_t x = 0; x < width_; ++x) {
                for (int k = 0; k < kCorners; ++k) weights[x].of[k] = row.weight(k, x);
                for (int k = kCorners; k < 8; ++k) weights[x].of[k] = 0;
            }
            std::uint32_t* simplex = simplex_ + y * pitch_;
            SimplexKey previous = row.key(0);
            std::uint32_t found = 0;
            for (index_t x = 0; x < width_; ++x) {
                const SimplexKey key = row.key(x);
                // Neighbours often share their simplex.
                if (x == 0 || !(key == previous)) {
                    found = index.insert(key, std::uint32_t(band.simplices.size()));
                    if (found == band.simplices.size()) {
                        band.simplices.push_back(key);
                        band.masses.push_back(Eight{});
                    }
                    previous = key;
                }
                simplex[x] = found;
                Eight& mass = band.masses[found];
                for (int k = 0; k < 8; ++k) mass.of[k] += weights[x].of[k];
            }
            for (index_t x = width_; x < pitch_; ++x) {
                weights[x] = Eight{};
                simplex[x] = 0;
            }
        }
    }

    void name_points(Band& band) {
        constexpr std::size_t kAhead = 4;  // simplices whose entries are fetched early
        const std::size_t count = band.simplices.size();
        band.index = HashIndex(capacity_for(index_t(count / 2)));
        band.corners.resize(count);
        band.points.assign(1, 0);
        std::vector<std::array<std::uint64_t, kCorners>> keys(count);
        for (std::size_t s = 0; s < count; ++s) keys_.corners(band.simplices[s], keys[s].data());
        for (std::size_t s = 0; s < count; ++s) {
            if (s + kAhead < count) {
                for (std::uint64_t key : keys[s + kAhead]) band.index.prefetch({key, 0});
            }
            band.corners[s] = Corners{};
            for (int k = 0; k < kCorners; ++k) {
                band.corners[s].of[k] = add_point(band.index, band.points, keys[s][std::size_t(k)]);
            }
        }
        band.simplices = {};
    }

    // A power of two for some number of entries to begin with.
    static std::size_t capacity_for(index_t count) {
        return std::bit_ceil(std::size_t(std::max<index_t>(count, 512)));
    }

    static std::uint32_t add_point(HashIndex& index, std::vector<std::uint64_t>& points,
                                   std::uint64_t key) {
        const std::uint32_t name = index.insert({key, 0}, std::uint32_t(points.size()));
        if (name == points.size()) points.push_back(key);
        return name;
    }

    void merge_points() {
        index_ = std::move(bands_[0].index);
        points_ = bands_[0].points;
        for (Band& band : bands_) {
            band.names.resize(band.points.size());
            for (std::size_t i = 1; i < band.points.size(); ++i) {
                band.names[i] = &band == &bands_[0]
                    ? std::uint32_t(i)
                    : add_point(index_, points_, band.points[i]);
            }
            band.index = HashIndex();
        }
    }

    // Add the neighbours of all points, but not the neighbours of those.
    void close() {
        const std::size_t count = points_.size();
        for (std::size_t i = 1; i < count; ++i) {
            for (int axis = 0; axis < kCorners; ++axis) {
                add_point(index_, points_, points_[i] + keys_.step(axis));
                add_point(index_, points_, points_[i] - keys_.step(axis));
            }
        }
    }

    void find_neighbours() {
        const index_t count = num_points();
        neighbours_.assign(std::size_t(2 * kCorners * count), 0);
#pragma omp parallel for num_threads(num_threads_) schedule(static)
        for (index_t i = 1; i < count; ++i) {
            constexpr index_t kAhead = 4;
            for (int axis = 0; axis < kCorners && i + kAhead < count; ++axis) {
                index_.prefetch({points_[std::size_t(i + kAhead)] + keys_.step(axis), 0});
            }
            for (int axis = 0; axis < kCorners; ++axis) {
                const std::uint32_t next =
                    index_.find({points_[std::size_t(i)] + keys_.step(axis), 0});
                if (next == 0) continue;
                std::uint32_t* pairs = neighbours_.data() + axis * 2 * count;
                pairs[2 * i] = next;
                pairs[2 * index_t(next) + 1] = std::uint32_t(i);
            }
        }
        index_ = HashIndex();
    }

    LatticeKeys keys_;
    index_t width_, pitch_;
    int num_threads_;
    Eight* weights_;
    std::uint32_t* simplex_;
    std::vector<Band> bands_;
    HashIndex index_;
    std::vector<std::uint64_t> points_;
    std::vector<std::uint32_t> neighbours_;
};

}  // namespace AUTOSEG_ISA
