// One band's way through an update of the spatial messages.
//
// What a band hands over to the next update waits, row by row, until nobody needs the row that it
// is to change; then it is blurred along the row and joins it. Rows that another band may be
// reading wait until all have finished.
#pragma once

#include "crf_spatial.hpp"

namespace AUTOSEG_ISA {

class SpatialBand {
public:
    static constexpr index_t L = kLanes<float>;

    // is_incremental: whether what is handed over is added to what there is, or replaces it.
    SpatialBand(SpatialFilter& filter, Rows rows, bool is_incremental, Arena& memory)
        : filter_(filter),
          is_incremental_(is_incremental),
          first_pixel_(rows.first),
          last_pixel_(rows.last),
          // Counted as the filter's rows are, from the one outside the image on.
          own_{row_of(rows.first), row_of(rows.last - 1) + 1},
          all_{own_.first - filter.border(), own_.last + filter.border()},
          reach_(filter.radius() + 2 * filter.border()),
          margin_(round_up(filter.radius(), L)),
          stride_(filter.pitch() + margin_),
          num_chunks_(filter.pitch() / L),
          needed_(std::size_t(num_chunks_)) {
        const index_t num_rows = all_.last - all_.first;
        // The first rows wait until the end, and so do the last; in between, few wait at a time.
        num_first_ = std::min(num_rows, reach_ + 2);
        num_ring_ = std::min(num_rows - num_first_, reach_ + 4);
        const index_t num_slots = num_first_ + num_ring_;
        slot_size_ = filter.channels() * stride_ + margin_ + L;
        slots_ = memory.zeros<float>(num_slots * slot_size_);
        is_touched_.resize(std::size_t(num_slots * num_chunks_));
        sums_ = memory.take<float>(2 * filter.row_size() + L);
    }

    // Get ready for rows y and y + 1 of pixels; y is even.
    void begin(index_t y) {
        const index_t start = row_of(y) - filter_.radius() - filter_.border();
        const index_t skipped = std::max<index_t>(0, -start);
        first_row_ = filter_.row(start + skipped);
        upper_ = filter_.upper_taps() + skipped;
        lower_ = filter_.lower_taps() + skipped;
        num_taps_ = std::min(filter_.num_rows() - start, filter_.num_tile_taps()) - skipped;
        for (index_t i = 0; i < 2 + filter_.border(); ++i) {
            const index_t row = row_of(y) - filter_.border() + i;
            const bool exists = row < all_.last;  // the last pixels may have no second row
            const index_t slot = exists ? slot_of(row) : 0;
            waiting_[i] = exists ? values_of(slot) : nullptr;
            touched_[i] = exists ? is_touched_.data() + slot * num_chunks_ : nullptr;
        }
    }

    // Sum what the messages about the labels are made of, where tiles are to be computed.
    //
    // is_computed: of the tiles of the two rows, left to right.
    void sum_labels(const std::uint8_t* is_computed, index_t num_tiles) {
        std::fill(needed_.begin(), needed_.end(), std::uint8_t(0));
        for (index_t tile = 0; tile < num_tiles; ++tile) {
            if (is_computed[tile]) mark(needed_.data(), tile * L);
        }
        sum_rows(0, filter_.labels());
    }

    // Sum what the messages about the size of the changes are made of, everywhere.
    void sum_changes() {
        std::fill(needed_.begin(), needed_.end(), std::uint8_t(1));
        sum_rows(filter_.labels(), filter_.labels() + 1);
    }

    // The message about a channel that was summed, at pixels x, ..., x + L - 1 of the upper row, 0,
    // or the lower.
    AUTOSEG_INLINE Vec<float> message(index_t channel, index_t x, int row) const {
        const float* from = sums_ + (2 * channel + row) * filter_.pitch() + first_column(x);
        return filter_.is_halved() ? between_cells(load_anywhere(from)) : load(from);
    }

    // Take a channel's values at the same pixels, already multiplied; zeros for a missing row.
    AUTOSEG_INLINE void take(index_t channel, index_t x, Vec<float> upper, Vec<float> lower) {
        if (!filter_.is_halved()) {
            store(waiting_[0] + channel * stride_ + x, upper);
            if (waiting_[1] != nullptr) store(waiting_[1] + channel * stride_ + x, lower);
            return;
        }
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        const Vec<float> first = share(upper), second = share(lower);
        const index_t at = channel * stride_ + x / 2;
        add(waiting_[0] + at, far * first);
        add(waiting_[1] + at, near * (first + second));
        add(waiting_[2] + at, far * second);
    }

    // Note that pixels x, ..., x + L - 1 of the two rows have been taken.
    AUTOSEG_INLINE void touch(index_t x) {
        for (std::uint8_t* touched : touched_) {
            if (touched != nullptr) mark(touched, x);
        }
    }

    // After rows y and y + 1: let what nobody reads any more be changed.
    void end(index_t y) {
        const index_t next = y + 2 < last_pixel_ ? row_of(y + 2) : own_.last;
        for (; next_merged_ < std::min(next, own_.last) - reach_; ++next_merged_) {
            if (next_merged_ >= all_.first + num_first_) merge(next_merged_, true);
        }
    }

    // Once all bands have finished, one after the other for all bands:

    // Change the band's own rows.
    void merge_own() {
        for (index_t row = own_.first; row < own_.last; ++row) {
            const bool is_first = row < all_.first + num_first_;
            if (is_first || row >= next_merged_) merge(row, true);
        }
        next_merged_ = own_.first;
    }
    // Change the row before them, which belongs to another band or lies outside the image; or the
    // row after them.
    void merge_before() {
        if (all_.first < own_.first) merge(all_.first, all_.first == 0);
    }
    void merge_after() {
        if (own_.last < all_.last) merge(own_.last, all_.last == filter_.num_rows());
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

    // Mark the vectors of a row that pixels x, ..., x + L - 1 lie in or next to.
    AUTOSEG_INLINE void mark(std::uint8_t* vectors, index_t x) const {
        const index_t at = first_column(x);
        vectors[at / L] = 1;
        vectors[(at + (filter_.is_halved() ? L / 2 + 1 : 0)) / L] = 1;
    }

    // Sum channels over the rows around those of the tiles, where it is needed.
    void sum_rows(index_t first, index_t last) {
        for (index_t channel = first; channel < last; ++channel) {
            index_t i = 0;
            while (i < num_chunks_) {
                if (!needed_[std::size_t(i)]) {
                    ++i;
                } else if (i + 4 <= num_chunks_ && needed_[std::size_t(i + 1)] &&
                           needed_[std::size_t(i + 2)]) {
                    sum_rows<4>(channel, i * L);
                    i += 4;
                } else {
                    sum_rows<1>(channel, i * L);
                    ++i;
                }
            }
        }
    }

    template <int Count>
    AUTOSEG_INLINE void sum_rows(index_t channel, index_t column) {
        const float* from = first_row_ + channel * filter_.pitch() + column;
        Vec<float> upper[Count] = {}, lower[Count] = {};
        for (index_t k = 0; k < num_taps_; ++k, from += filter_.row_size()) {
            const Vec<float> upper_tap = spread(upper_[k]), lower_tap = spread(lower_[k]);
            unroll<Count>([&](auto i) AUTOSEG_INLINED {
                const Vec<float> value = load(from + i * L);
                upper[i] += value * upper_tap;
                lower[i] += value * lower_tap;
            });
        }
        float* to = sums_ + 2 * channel * filter_.pitch() + column;
        unroll<Count>([&](auto i) AUTOSEG_INLINED {
            store(to + i * L, upper[i]);
            store(to + filter_.pitch() + i * L, lower[i]);
        });
    }

    // From cells, the first of them before pixel x, to pixels x, ..., x + L - 1.
    static AUTOSEG_INLINE Vec<float> between_cells(Vec<float> cells) {
        Mask<float> centre, side;
        for (int lane = 0; lane < int(L); ++lane) {
            centre[lane] = lane / 2 + 1;
            side[lane] = lane / 2 + (lane & 1 ? 2 : 0);
        }
        return spread(SpatialFilter::kNear) * permute<float>(cells, centre) +
               spread(SpatialFilter::kFar) * permute<float>(cells, side);
    }

    // The transpose of it.
    static AUTOSEG_INLINE Vec<float> share(Vec<float> pixels) {
        Mask<float> near[2], far[2];
        for (int lane = 0; lane < int(L); ++lane) {
            const auto pixel = [&](int i) { return i >= 0 && i < int(L) ? i : int(L); };
            near[0][lane] = pixel(2 * lane - 2), near[1][lane] = pixel(2 * lane - 1);
            far[0][lane] = pixel(2 * lane - 3), far[1][lane] = pixel(2 * lane);
        }
        const auto pick = [&](Mask<float> lanes) {
            return permute_two<float>(pixels, Vec<float>{}, lanes);
        };
        return spread(SpatialFilter::kNear) * (pick(near[0]) + pick(near[1])) +
               spread(SpatialFilter::kFar) * (pick(far[0]) + pick(far[1]));
    }

    static AUTOSEG_INLINE void add(float* to, Vec<float> value) {
        store_anywhere(to, load_anywhere(to) + value);
    }

    // Blur what waits for a row along the row, and let it join or replace what is there.
    void merge(index_t row, bool may_replace) {
        const index_t slot = slot_of(row);
        std::uint8_t* touched = is_touched_.data() + slot * num_chunks_;
        const index_t chunks = (filter_.radius() + L - 1) / L;  // to either side
        bool is_any = false;
        for (index_t i = 0; i < num_chunks_; ++i) {
            bool is_near = false;
            const index_t last = std::min(i + chunks + 1, num_chunks_);
            for (index_t j = std::max<index_t>(0, i - chunks); j < last; ++j) is_near |= touched[j];
            needed_[std::size_t(i)] = is_near;
            is_any |= is_near;
        }
        for (index_t channel = 0; channel < filter_.channels(); ++channel) {
            // The size of the changes is that of this update's alone.
            const bool replaces = may_replace && (!is_incremental_ || channel == filter_.labels());
            float* to = filter_.row(row) + channel * filter_.pitch();
            if (replaces) std::memset(to, 0, std::size_t(filter_.pitch()) * sizeof(float));
            if (!is_any) continue;
            const float* from = values_of(slot) + channel * stride_;
            const float weight = filter_.weight(channel);
            for (index_t i = 0; i < num_chunks_; ++i) {
                if (!needed_[std::size_t(i)]) continue;
                if (i + 1 < num_chunks_ && needed_[std::size_t(i + 1)]) {
                    sum_columns<2>(from + i * L, to + i * L, weight);
                    ++i;
                } else {
                    sum_columns<1>(from + i * L, to + i * L, weight);
                }
            }
        }
        if (!is_any) return;
        const index_t size = filter_.channels() * stride_;
        std::memset(values_of(slot), 0, std::size_t(size) * sizeof(float));
        std::memset(touched, 0, std::size_t(num_chunks_));
    }

    template <int Count>
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
            store(to + i * L, load(to + i * L) + sums[i] * spread(weight));
        });
    }

    SpatialFilter& filter_;
    bool is_incremental_;
    index_t first_pixel_, last_pixel_;
    Rows own_, all_;  // the filter's rows that the pixels lie in, and those that they change
    index_t reach_;   // at least as many rows as lie between a tile's and the furthest it reads
    index_t margin_;  // zeros before and after a line
    index_t stride_;  // between channels
    index_t num_chunks_, slot_size_;
    index_t num_first_, num_ring_;
    index_t next_merged_ = own_.first;
    float* sums_;   // over the rows around the present tiles: (channels, 2, pitch)
    float* slots_;  // rows that wait: the first, then the ring
    std::vector<std::uint8_t> is_touched_;
    std::vector<std::uint8_t> needed_;
    // For the present tiles.
    const float* first_row_ = nullptr;
    const float* upper_ = nullptr;
    const float* lower_ = nullptr;
    index_t num_taps_ = 0;
    float* waiting_[3] = {};
    std::uint8_t* touched_[3] = {};
};

}  // namespace AUTOSEG_ISA
