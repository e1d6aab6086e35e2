// One band's way through an update of the spatial messages.
//
// What a band hands over to the next update waits, row by row, until nobody needs the row that it
// is to change; then it is brought to cells, at half resolution, blurred along the row, and joins
// it. Rows that another band may be reading wait until all have finished.
#pragma once

#include "spatial.hpp"
#include "weave.hpp"

namespace AUTOSEG_ISA {

class SpatialBand {
public:
    static constexpr index_t L = kLanes<float>;

    SpatialBand(SpatialFilter& filter, Rows rows, Arena& memory)
        : filter_(filter),
          first_pixel_(rows.first),
          last_pixel_(rows.last),
          // Counted as the filter's rows are, from the one outside the image on.
          own_{row_of(rows.first), row_of(rows.last - 1) + 1},
          all_{own_.first - filter.border(), own_.last + filter.border()},
          reach_(filter.radius() + 2 * filter.border()),
          margin_(round_up(filter.radius(), L)),
          stride_(filter.factor() * filter.pitch() + margin_),
          num_chunks_(filter.pitch() / L) {
        const index_t num_rows = all_.last - all_.first;
        // The first rows wait until the end, and so do the last; in between, few wait at a time.
        num_first_ = std::min(num_rows, reach_ + 2);
        num_ring_ = std::min(num_rows - num_first_, reach_ + 4);
        const index_t num_slots = num_first_ + num_ring_;
        slot_size_ = filter.labels() * stride_ + margin_ + 2 * L;
        num_waiting_ = num_slots * slot_size_;
        num_cells_ = filter.pitch() + 2 * margin_ + L;
        slots_ = memory.take<float>(num_waiting_);
        cells_ = memory.take<float>(num_cells_) + margin_;
        sums_ = memory.take<float>(kSummed * filter.row_size() + L);
    }

    // Zeros beside all lines: before the first update, on the thread of the band.
    void clear() {
        std::memset(slots_, 0, std::size_t(num_waiting_) * sizeof(float));
        std::memset(cells_ - margin_, 0, std::size_t(num_cells_) * sizeof(float));
    }

    // Get ready for rows y and y + 1 of pixels; y is even.
    void begin(index_t y) {
        for (index_t i = 0; i < 2 + filter_.border(); ++i) {
            const index_t row = row_of(y) - filter_.border() + i;
            const bool exists = row < all_.last;  // the last pixels may have no second row
            waiting_[i] = exists ? values_of(slot_of(row)) : nullptr;
        }
        is_pair_ = y + 1 < last_pixel_;
        if (!filter_.is_halved() || y > first_pixel_) return;
        // Later rows are begun with what is stored in them.
        for (index_t i = 0; i < 2; ++i) {
            std::memset(waiting_[i], 0, std::size_t(filter_.labels() * stride_) * sizeof(float));
        }
    }

    // Sum what the messages at rows y and y + 1 are made of over the rows around them: at half
    // resolution those of the cells above, around and below.
    void sum_rows(index_t y) {
        const index_t row = row_of(y) - filter_.border();
        if (y == first_pixel_) next_summed_ = row;
        for (; next_summed_ < row + 2 + filter_.border(); next_summed_ += kTogether) {
            sum_rows_from(next_summed_);
        }
        for (index_t i = 0; i < 3; ++i) summed_[i] = sums_of(row + i);
    }

    // Pixels x, ..., x + L - 1 of the rows that `begin` was called for, all labels. What a loop over
    // them needs is in variables: for all that the compiler knows, a store may change any member.

    // Write before(label) + factor * message to values + label * L, in woven row 0 or 1.
    template <class Before>
    AUTOSEG_INLINE void add_messages(float* values, index_t x, int row, Vec<float> factor,
                                     Before&& before) const {
        const index_t labels = filter_.labels(), pitch = filter_.pitch();
        // A woven row has its odd columns from the other row of pixels, if there is one.
        const bool is_lower = row == 1, odd_is_lower = is_pair_ != is_lower;
        if (!filter_.is_halved()) {
            const float *even = summed_[is_lower] + x, *odd = summed_[odd_is_lower] + x;
            for (index_t c = 0; c < labels; ++c, even += pitch, odd += pitch) {
                Vec<float> message = load(even), other = load(odd);
                weave(message, other);
                store(values + c * L, before(c) + factor * message);
            }
            return;
        }
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        const Vec<float> near_factor = near * factor, far_factor = far * factor;
        const float* same = summed_[1] + x / 2;
        const float *even = summed_[2 * is_lower] + x / 2, *odd = summed_[2 * odd_is_lower] + x / 2;
        for (index_t c = 0; c < labels; ++c, same += pitch, even += pitch, odd += pitch) {
            const Vec<float> share = near * load_anywhere(same);
            const Vec<float> in_even = share + far * load_anywhere(even);
            const Vec<float> in_odd = share + far * load_anywhere(odd);
            const Vec<float> message = near_factor * nearest_cells(in_even, in_odd) +
                                       far_factor * second_cells(in_even, in_odd);
            store(values + c * L, before(c) + message);
        }
    }

    // Take what woven rows have, (labels, L), times a factor each; of a row that does not count or
    // does not exist, nothing.
    template <bool HasFirst, bool HasSecond>
    AUTOSEG_INLINE void take(index_t x, const float* first_values, Vec<float> first_factor,
                             const float* second_values, Vec<float> second_factor) {
        const auto first = [=](index_t c) AUTOSEG_INLINED {
            return HasFirst ? load(first_values + c * L) * first_factor : Vec<float>{};
        };
        const auto second = [=](index_t c) AUTOSEG_INLINED {
            return HasSecond ? load(second_values + c * L) * second_factor : Vec<float>{};
        };
        const index_t labels = filter_.labels(), stride = stride_;
        const bool is_pair = is_pair_;
        if (!filter_.is_halved()) {
            float *upper_to = waiting_[0] + x, *lower_to = is_pair ? waiting_[1] + x : nullptr;
            for (index_t c = 0; c < labels; ++c) {
                Vec<float> upper = first(c), lower = second(c);
                if (is_pair) {
                    weave(upper, lower);
                    store(lower_to + c * stride, lower);
                }
                store(upper_to + c * stride, upper);
            }
            return;
        }
        float *above = waiting_[0] + x, *same = waiting_[1] + x, *below = waiting_[2] + x;
        for (index_t c = 0; c < labels; ++c, above += stride, same += stride, below += stride) {
            // Even columns first, as `gather_cells` wants them.
            if constexpr (HasFirst && HasSecond) {
                const Vec<float> upper = by_parity(first(c), second(c));
                const Vec<float> lower = by_parity(second(c), first(c));
                share(upper + lower, upper, lower, above, same, below);
                continue;
            }
            const Vec<float> value = HasFirst ? first(c) : second(c);
            const Vec<float> all = by_parity(value, value), none{};
            const Vec<float> even = join(half<0>(all), half<0>(none));
            const Vec<float> odd = join(half<0>(none), half<int(L / 2)>(all));
            if (!is_pair) {
                share(all, all, none, above, same, below);
            } else if (HasFirst) {
                share(all, even, odd, above, same, below);
            } else {
                share(all, odd, even, above, same, below);
            }
        }
    }

    // After rows y and y + 1: let what nobody reads any more be changed.
    void end(index_t y) {
        const index_t next = y + 2 < last_pixel_ ? row_of(y + 2) : own_.last;
        for (; next_merged_ < std::min(next, own_.last) - reach_; ++next_merged_) {
            if (next_merged_ >= all_.first + num_first_) merge<true>(next_merged_);
        }
    }

    // Once all bands have finished: change the band's own rows, and those outside the image; then
    // add what the bands before and after it have for its own. Null: there is none.
    void finish(const SpatialBand* before, const SpatialBand* after) {
        for (index_t row = own_.first; row < own_.last; ++row) {
            const bool is_first = row < all_.first + num_first_;
            if (is_first || row >= next_merged_) merge<true>(row);
        }
        next_merged_ = own_.first;
        if (!filter_.is_halved()) return;
        after == nullptr ? merge<true>(own_.last) : merge<false>(own_.last - 1, *after);
        before == nullptr ? merge<true>(own_.first - 1) : merge<false>(own_.first, *before);
    }

private:
    index_t row_of(index_t y) const {
        return filter_.is_halved() ? y / 2 + filter_.border() : y;
    }
    index_t slot_of(index_t row) const {
        const index_t i = row - all_.first;
        return i < num_first_ ? i : num_first_ + (i - num_first_) % num_ring_;
    }
    float* values_of(index_t slot) const { return slots_ + slot * slot_size_ + margin_; }

    static constexpr index_t kTogether = SpatialFilter::kTogether;
    static constexpr index_t kSummed = 8;  // rows that are at hand

    float* sums_of(index_t row) const { return sums_ + row % kSummed * filter_.row_size(); }

    // kTogether rows at once, so that every row around them is read once for all.
    void sum_rows_from(index_t row) {
        const index_t size = filter_.row_size();
        index_t at = 0;
        for (; at + 2 * L <= size; at += 2 * L) sum_rows_from<2>(row, at);
        for (; at < size; at += L) sum_rows_from<1>(row, at);
    }

    // At Count vectors, counted through the labels.
    template <int Count>
    AUTOSEG_INLINE void sum_rows_from(index_t row, index_t at) {
        // Not all may be wanted, and rows further on may be another band's, which changes them.
        const index_t last_wanted = std::min(row + kTogether, all_.last);
        const index_t first = std::max<index_t>(0, row - filter_.radius());
        const index_t last = std::min(filter_.num_rows(), last_wanted + filter_.radius());
        const float* from = filter_.row(first) + at;
        Vec<float> sums[kTogether][Count] = {};
        for (index_t i = first; i < last; ++i, from += filter_.row_size()) {
            Vec<float> values[Count];
            unroll<Count>([&](auto k) AUTOSEG_INLINED { values[k] = load(from + k * L); });
            unroll<int(kTogether)>([&](auto n) AUTOSEG_INLINED {
                const Vec<float> tap = spread(filter_.tap(i - row - n));
                unroll<Count>([&](auto k) AUTOSEG_INLINED { sums[n][k] += values[k] * tap; });
            });
        }
        unroll<int(kTogether)>([&](auto n) AUTOSEG_INLINED {
            unroll<Count>([&](auto k) AUTOSEG_INLINED {
                store(sums_of(row + n) + at + k * L, sums[n][k]);
            });
        });
    }

    // Share values of a pair of rows, and their sum, between the rows of cells there, above and
    // below.
    static AUTOSEG_INLINE void share(Vec<float> sum, Vec<float> upper, Vec<float> lower,
                                     float* above, float* same, float* below) {
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        store(above, load(above) + far * upper);
        store(same, load(same) + near * sum);
        store(below, far * lower);
    }

    // Of cells, the first of them before pixel x, those nearest to pixels x, ..., x + L - 1: for
    // even columns of one row, for odd columns of another.
    static AUTOSEG_INLINE Vec<float> nearest_cells(Vec<float> even, Vec<float> odd) {
        Mask<float> lanes;
        for (int lane = 0; lane < int(L); ++lane) lanes[lane] = lane / 2 + 1 + (lane & 1) * int(L);
        return permute_two<float>(even, odd, lanes);
    }
    // And the second nearest, before them for even columns and after them for odd ones.
    static AUTOSEG_INLINE Vec<float> second_cells(Vec<float> even, Vec<float> odd) {
        Mask<float> lanes;
        for (int lane = 0; lane < int(L); ++lane) lanes[lane] = lane / 2 + (lane & 1) * int(L + 2);
        return permute_two<float>(even, odd, lanes);
    }

    // The even lanes of one, then the odd lanes of another.
    static AUTOSEG_INLINE Vec<float> by_parity(Vec<float> even, Vec<float> odd) {
        Mask<float> lanes;
        for (int lane = 0; lane < int(L); ++lane) {
            const bool is_odd = lane >= int(L / 2);
            lanes[lane] = 2 * lane + (is_odd ? 1 : 0);  // past the first vector from L on
        }
        return permute_two<float>(even, odd, lanes);
    }

    // Lane i is lane i - Count, of the vector before if that is negative.
    template <int Count>
    static AUTOSEG_INLINE Vec<float> shifted(Vec<float> before, Vec<float> value) {
        Mask<float> lanes;
        for (int lane = 0; lane < int(L); ++lane) lanes[lane] = int(L) + lane - Count;
        return permute_two<float>(before, value, lanes);
    }

    // The transpose of what `add_messages` does with cells, for a line of pixels, even columns of
    // a vector first: into `cells_`, the first of them before the first pixel.
    void gather_cells(const float* pixels) {
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        Vec<float> even_before{}, odd_before{};
        for (index_t i = 0; i < filter_.pitch(); i += L, pixels += 2 * L) {
            const Vec<float> first = load(pixels), second = load(pixels + L);
            const Vec<float> even = join(half<0>(first), half<0>(second));
            const Vec<float> odd = join(half<int(L / 2)>(first), half<int(L / 2)>(second));
            const Vec<float> inside = shifted<1>(even_before, even) + shifted<1>(odd_before, odd);
            const Vec<float> beside = shifted<2>(odd_before, odd) + even;
            store(cells_ + i, near * inside + far * beside);
            even_before = even;
            odd_before = odd;
        }
    }

    // Blur what waits for a row along the row, and let it replace or join what is there.
    template <bool Replaces>
    void merge(index_t row) {
        merge<Replaces>(row, *this);
    }
    // What waits in another band.
    template <bool Replaces>
    void merge(index_t row, const SpatialBand& other) {
        const float* values = other.values_of(other.slot_of(row));
        for (index_t label = 0; label < filter_.labels(); ++label) {
            float* to = filter_.row(row) + label * filter_.pitch();
            const float* from = values + label * stride_;
            if (filter_.is_halved()) {
                gather_cells(from);
                from = cells_;
            }
            const float weight = filter_.weight(label);
            index_t i = 0;
            for (; i + 2 <= num_chunks_; i += 2) {
                sum_columns<Replaces, 2>(from + i * L, to + i * L, weight);
            }
            for (; i < num_chunks_; ++i) {
                sum_columns<Replaces, 1>(from + i * L, to + i * L, weight);
            }
        }
    }

    template <bool Replaces, int Count>
    AUTOSEG_INLINE void sum_columns(const float* at, float* to, float weight) const {
        Vec<float> sums[Count];
        unroll<Count>([&](auto i) AUTOSEG_INLINED {
            sums[i] = load_anywhere(at + i * L) * spread(filter_.tap(0));
        });
        for (index_t k = 1; k <= filter_.radius(); ++k) {
            const Vec<float> tap = spread(filter_.tap(k));
            unroll<Count>([&](auto i) AUTOSEG_INLINED {
                sums[i] += (load_anywhere(at + i * L - k) + load_anywhere(at + i * L + k)) * tap;
            });
        }
        unroll<Count>([&](auto i) AUTOSEG_INLINED {
            const Vec<float> sum = sums[i] * spread(weight);
            store(to + i * L, Replaces ? sum : load(to + i * L) + sum);
        });
    }

    SpatialFilter& filter_;
    index_t first_pixel_, last_pixel_;
    Rows own_, all_;  // the filter's rows that the pixels lie in, and those that they change
    index_t reach_;   // at least as many rows as lie between a tile's and the furthest it reads
    index_t margin_;  // zeros before and after a line
    index_t stride_;  // between labels
    index_t num_chunks_, slot_size_;
    index_t num_waiting_, num_cells_;  // floats
    index_t num_first_, num_ring_;
    index_t next_merged_ = own_.first;
    index_t next_summed_ = 0;
    float* sums_;   // over the rows around some: (kSummed, labels, pitch)
    float* cells_;  // of a label's line
    float* slots_;  // rows that wait: the first, then the ring
    // For the present tiles.
    bool is_pair_ = true;  // or one row without a partner
    const float* summed_[3] = {};
    float* waiting_[3] = {};
};

}  // namespace AUTOSEG_ISA
