// One band's way through an update of the spatial messages.
//
// What a band hands over to the next update waits, row by row, until nobody needs the row that it
// is to change; then it is brought to cells, at half resolution, blurred along the row, and joins
// it. Rows that another band may be reading wait until all have finished.
#pragma once

#include "crf_spatial.hpp"
#include "crf_weave.hpp"

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

    // The message about a label at pixels x, ..., x + L - 1 of a woven row, 0 or 1.
    AUTOSEG_INLINE Vec<float> message(index_t label, index_t x, int row) const {
        const index_t at = label * filter_.pitch() + first_column(x);
        if (!filter_.is_halved()) {
            Vec<float> upper = load(summed_[0] + at), lower = load(summed_[1] + at);
            if (is_pair_) weave(upper, lower);
            return row == 0 ? upper : lower;
        }
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        const Vec<float> around = near * load_anywhere(summed_[1] + at);
        const Vec<float> upper = around + far * load_anywhere(summed_[0] + at);
        const Vec<float> lower =
            is_pair_ ? around + far * load_anywhere(summed_[2] + at) : upper;
        return row == 0 ? between_cells(upper, lower) : between_cells(lower, upper);
    }

    // Take a label's values in the woven rows there, already multiplied; zeros for a missing row.
    AUTOSEG_INLINE void take(index_t label, index_t x, Vec<float> first, Vec<float> second) {
        const index_t at = label * stride_ + x;
        if (!filter_.is_halved()) {
            if (is_pair_) weave(first, second);
            store(waiting_[0] + at, first);
            if (waiting_[1] != nullptr) store(waiting_[1] + at, second);
            return;
        }
        // Even columns first, as `gather_cells` wants them.
        Vec<float> upper, lower;
        if (is_pair_) {
            upper = by_parity(first, second);
            lower = by_parity(second, first);
        } else {
            upper = by_parity(first, first);
            lower = second;
        }
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        store(waiting_[0] + at, load(waiting_[0] + at) + far * upper);
        store(waiting_[1] + at, load(waiting_[1] + at) + near * (upper + lower));
        store(waiting_[2] + at, far * lower);
    }

    // After rows y and y + 1: let what nobody reads any more be changed.
    void end(index_t y) {
        const index_t next = y + 2 < last_pixel_ ? row_of(y + 2) : own_.last;
        for (; next_merged_ < std::min(next, own_.last) - reach_; ++next_merged_) {
            if (next_merged_ >= all_.first + num_first_) merge<true>(next_merged_);
        }
    }

    // Once all bands have finished, one after the other for all bands:

    // Change the band's own rows.
    void merge_own() {
        for (index_t row = own_.first; row < own_.last; ++row) {
            const bool is_first = row < all_.first + num_first_;
            if (is_first || row >= next_merged_) merge<true>(row);
        }
        next_merged_ = own_.first;
    }
    // Change the row before them, which belongs to another band or lies outside the image; or the
    // row after them.
    void merge_before() {
        if (all_.first < own_.first) merge_border(all_.first, all_.first == 0);
    }
    void merge_after() {
        if (own_.last < all_.last) merge_border(own_.last, all_.last == filter_.num_rows());
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

    index_t first_column(index_t x) const { return filter_.is_halved() ? x / 2 : x; }

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

    // From cells, the first of them before pixel x, to pixels x, ..., x + L - 1: in even columns
    // from those of one row, in odd columns from those of another.
    static AUTOSEG_INLINE Vec<float> between_cells(Vec<float> even, Vec<float> odd) {
        Mask<float> centre, side;
        for (int lane = 0; lane < int(L); ++lane) {
            const int of_odd = lane & 1 ? int(L) : 0;
            centre[lane] = of_odd + lane / 2 + 1;
            side[lane] = of_odd + lane / 2 + (lane & 1 ? 2 : 0);
        }
        return spread(SpatialFilter::kNear) * permute_two<float>(even, odd, centre) +
               spread(SpatialFilter::kFar) * permute_two<float>(even, odd, side);
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

    // The transpose of `between_cells`, for a line of pixels, even columns of a vector first: into
    // `cells_`, the first of them before the first pixel.
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

    void merge_border(index_t row, bool replaces) {
        replaces ? merge<true>(row) : merge<false>(row);
    }

    // Blur what waits for a row along the row, and let it replace or join what is there.
    template <bool Replaces>
    void merge(index_t row) {
        const float* values = values_of(slot_of(row));
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
