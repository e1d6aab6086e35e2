// Who is next to whom in the lattice: points one after the other along each axis, as far as they
// exist. Those without a neighbour are left out.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "bands.hpp"
#include "hash.hpp"
#include "simplex.hpp"

namespace AUTOSEG_ISA {

class AxisChains {
public:
    // One number for each point: its name, and the highest bit where the next one does not follow
    // it. Threads take a part each; no chain lies in two of them.
    static constexpr std::uint32_t kEnd = std::uint32_t(1) << 31;
    struct Part {
        const std::uint32_t* first;
        const std::uint32_t* last;
    };

    AxisChains() = default;

    // points: the keys of all points, of which the first is the empty one. index: of these; freed
    // as soon as it is not needed.
    AxisChains(const LatticeKeys& keys, HashIndex<std::uint64_t> index,
               const PooledVector<std::uint64_t>& points, int num_threads)
        : num_parts_(num_threads) {
        const index_t count = index_t(points.size());
        PooledVector<std::uint32_t> ahead(std::size_t(kCorners * count), 0);
        // One more for each thread, to mark where there is nothing ahead.
        PooledVector<std::uint8_t> has_before(std::size_t(kCorners * count + num_threads), 0);
        in_parallel(num_threads, num_threads, [&](index_t part) {
            const Rows own = part_of(count, part, num_threads);
            for (index_t i = std::max<index_t>(1, own.first); i < own.last; ++i) {
                constexpr index_t kAhead = 4;
                for (int axis = 0; axis < kCorners && i + kAhead < count; ++axis) {
                    index.prefetch(points[std::size_t(i + kAhead)] + keys.step(axis));
                }
                std::uint64_t wanted[kCorners];
                std::uint32_t next_numbers[kCorners];
                for (int axis = 0; axis < kCorners; ++axis) {
                    wanted[axis] = points[std::size_t(i)] + keys.step(axis);
                }
                index.template find<kCorners>(wanted, points, next_numbers);
                for (int axis = 0; axis < kCorners; ++axis) {
                    const bool is_there = next_numbers[axis] != 0;
                    const std::uint32_t next = next_numbers[axis] - is_there;
                    ahead[std::size_t(axis * count + i)] = next;
                    const index_t place =
                        is_there ? axis * count + index_t(next) : kCorners * count + part;
                    has_before[std::size_t(place)] = 1;
                }
            }
        });
        index = HashIndex<std::uint64_t>();
        in_parallel(kCorners, num_threads, [&](index_t axis) {
            chain(axes_[std::size_t(axis)], ahead.data() + axis * count,
                  has_before.data() + axis * count, count);
        });
    }

    Part part(int axis, index_t part) const {
        const Axis& along = axes_[std::size_t(axis)];
        return {along.points.data() + along.parts[std::size_t(part)],
                along.points.data() + along.parts[std::size_t(part + 1)]};
    }
    index_t num_parts() const { return num_parts_; }

private:
    struct Axis {
        PooledVector<std::uint32_t> points;
        std::vector<index_t> parts;  // where each begins, and the end
    };

    // next: the point ahead of each, 0 where there is none. is_inside: whether one is behind it.
    void chain(Axis& along, const std::uint32_t* next, const std::uint8_t* is_inside,
               index_t count) const {
        along.points.resize(std::size_t(count));
        std::uint32_t* to = along.points.data();
        for (index_t i = 1; i < count; ++i) {
            if (is_inside[i] || next[i] == 0) continue;
            std::uint32_t point = std::uint32_t(i);
            for (; next[point] != 0; point = next[point]) *to++ = point;
            *to++ = point | kEnd;
        }
        const index_t size = to - along.points.data();
        along.points.resize(std::size_t(size));
        along.parts.assign(1, 0);
        for (index_t part = 1; part < num_parts_; ++part) {
            index_t at = std::max(size * part / num_parts_, along.parts.back());
            while (at > 0 && at < size && !(along.points[std::size_t(at - 1)] & kEnd)) ++at;
            along.parts.push_back(at);
        }
        along.parts.push_back(size);
    }

    index_t num_parts_ = 0;
    std::array<Axis, kCorners> axes_;
};

}  // namespace AUTOSEG_ISA
