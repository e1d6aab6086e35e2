// One band's way through an update of the spatial messages.
//
// The rows of all labels lie together, and a row is blurred when the pass over the pixels needs it:
// it is then still in the cache. Rows of pixels become rows of cells as they are handed over.
#pragma once

#include "crf_spatial.hpp"

namespace AUTOSEG_ISA {

class SpatialBand {
public:
    static constexpr index_t L = kLanes<float>;

    SpatialBand(const SpatialFilter& filter, index_t band, Rows rows, index_t width, Arena& memory)
        : filter_(filter),
          band_(band),
          rows_(rows),
          next_message_(filter.is_halved() ? rows.first / 2 - 1 : rows.first),
          size_(filter.labels() * filter.pitch()),
          margin_(round_up(filter.radius(), L)),
          pixel_pitch_(round_up(width, 2 * L) + 4 * L),
          messages_(memory.take<float>(kMessageRows * size_ + L)),
          line_(memory.zeros<float>(filter.pitch() + 2 * margin_)) {
        if (!filter.is_halved()) return;
        const index_t pixels = filter.labels() * pixel_pitch_;
        done_ = memory.zeros<float>(pixels) + 2 * L;
        pending_ = memory.zeros<float>(pixels) + 2 * L;
        previous_ = memory.zeros<float>(pixels) + 2 * L;
    }

    // Blur what rows y and y + 1 will read; y is even.
    void prepare(index_t y) {
        const index_t last = filter_.is_halved() ? y / 2 + 1 : std::min(y + 1, rows_.last - 1);
        for (; next_message_ <= last; ++next_message_) blur(next_message_);
    }

    // Messages about a label at pixels x, ..., x + L - 1 of row y.
    AUTOSEG_INLINE Vec<float> message(index_t label, index_t y, index_t x) const {
        if (!filter_.is_halved()) return load(message_row(y) + label * filter_.pitch() + x);
        Mask<float> centre, side;
        for (int lane = 0; lane < int(L); ++lane) {
            centre[lane] = lane / 2 + 1;
            side[lane] = lane / 2 + (lane & 1 ? 2 : 0);
        }
        const index_t at = label * filter_.pitch() + x / 2;
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        const Vec<float> cells = near * load_anywhere(message_row(y / 2) + at) +
                                 far * load_anywhere(message_row(y / 2 + (y & 1 ? 1 : -1)) + at);
        return near * permute<float>(cells, centre) + far * permute<float>(cells, side);
    }

    // Take a label's values at the same pixels, already multiplied.
    AUTOSEG_INLINE void take(index_t label, index_t y, index_t x, Vec<float> values) {
        if (!filter_.is_halved()) {
            store(filter_.next_row(band_, y) + label * filter_.pitch() + x, values);
            return;
        }
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        const index_t at = label * pixel_pitch_ + x;
        const Vec<float> pending = load(pending_ + at);
        if (y & 1) {
            store(pending_ + at, pending + near * values);
            store(previous_ + at, values);
        } else {
            store(done_ + at, pending + far * values);
            store(pending_ + at, far * load(previous_ + at) + near * values);
        }
    }

    // After rows y and y + 1; y is even.
    void hand_over(index_t y) {
        if (!filter_.is_halved()) return;
        share_columns(done_, y / 2 - 1);
        if (y + 2 < rows_.last) return;
        // The last rows have nothing below them, and the very last may have no second one.
        share_columns(pending_, y / 2);
        const index_t pixels = filter_.labels() * pixel_pitch_ - 4 * L;
        const Vec<float> far = spread(y + 1 < rows_.last ? SpatialFilter::kFar : 0.f);
        for (index_t i = 0; i < pixels; i += L) store(done_ + i, load(previous_ + i) * far);
        share_columns(done_, y / 2 + 1);
    }

private:
    static constexpr index_t kMessageRows = 3;

    float* message_row(index_t cell) const {
        return messages_ + (cell + kMessageRows) % kMessageRows * size_;
    }

    void blur(index_t cell) {
        std::vector<const float*>& rows = share_rows_;
        std::vector<float>& taps = share_taps_;
        rows.clear(), taps.clear();
        filter_.for_shares(cell, [&](const float* row, float tap) {
            rows.push_back(row), taps.push_back(tap);
        });
        float* to = message_row(cell);
        for (index_t label = 0; label < filter_.labels(); ++label, to += filter_.pitch()) {
            index_t x = 0;
            const index_t pitch = filter_.pitch(), offset = label * pitch;
            for (; x + 4 * L <= pitch; x += 4 * L) sum_rows<4>(offset, x);
            for (; x < pitch; x += L) sum_rows<1>(offset, x);
            const float weight = filter_.weight(label);
            for (x = 0; x + 2 * L <= pitch; x += 2 * L) sum_columns<2>(to, x, weight);
            for (; x < pitch; x += L) sum_columns<1>(to, x, weight);
        }
    }

    template <int Count>
    AUTOSEG_INLINE void sum_rows(index_t offset, index_t x) {
        Vec<float> sums[Count] = {};
        for (std::size_t k = 0; k < share_rows_.size(); ++k) {
            const float* from = share_rows_[k] + offset + x;
            const Vec<float> tap = spread(share_taps_[k]);
            unroll<Count>([&](auto i) AUTOSEG_INLINED { sums[i] += load(from + i * L) * tap; });
        }
        unroll<Count>([&](auto i) AUTOSEG_INLINED { store(line_ + margin_ + x + i * L, sums[i]); });
    }

    template <int Count>
    AUTOSEG_INLINE void sum_columns(float* to, index_t x, float weight) const {
        const float* at = line_ + margin_ + x;
        Vec<float> sums[Count];
        unroll<Count>([&](auto i) AUTOSEG_INLINED {
            sums[i] = load(at + i * L) * spread(filter_.tap(0));
        });
        for (index_t k = 1; k <= filter_.radius(); ++k) {
            const Vec<float> tap = spread(filter_.tap(k));
            unroll<Count>([&](auto i) AUTOSEG_INLINED {
                sums[i] += (load_anywhere(at + i * L - k) + load_anywhere(at + i * L + k)) * tap;
            });
        }
        unroll<Count>([&](auto i) AUTOSEG_INLINED {
            store(to + x + i * L, sums[i] * spread(weight));
        });
    }

    // Share rows of pixels, (labels, pixel_pitch_), between the cells of a row.
    void share_columns(const float* pixels, index_t cell) {
        Mask<float> even, odd, is_even;
        for (int lane = 0; lane < int(L); ++lane) {
            even[lane] = 2 * lane;
            odd[lane] = 2 * lane + 1;
            is_even[lane] = lane & 1 ? 0 : -1;
        }
        const Vec<float> near = spread(SpatialFilter::kNear), far = spread(SpatialFilter::kFar);
        const Vec<float> left = select<float>(is_even, far, near);
        const Vec<float> right = select<float>(is_even, near, far);
        float* to = filter_.next_row(band_, cell);
        for (index_t label = 0; label < filter_.labels(); ++label) {
            // Column 0 is the cell outside the image, of pixels -2 and -1.
            const float* at = pixels + label * pixel_pitch_ - 2;
            for (index_t x = 0; x < filter_.pitch(); x += L, at += 2 * L, to += L) {
                // far p[-1] + near p[0] + near p[1] + far p[2] for each cell
                const Vec<float> first =
                    left * load_anywhere(at - 1) + right * load_anywhere(at + 1);
                const Vec<float> second =
                    left * load_anywhere(at + L - 1) + right * load_anywhere(at + L + 1);
                store(to, permute_two<float>(first, second, even) +
                              permute_two<float>(first, second, odd));
            }
        }
    }

    const SpatialFilter& filter_;
    index_t band_;
    Rows rows_;
    index_t next_message_;  // row of cells to be blurred next
    index_t size_;          // of a row of all labels
    index_t margin_;        // zeros before and after a line
    index_t pixel_pitch_;
    float* messages_;  // the latest rows: (kMessageRows, labels, pitch)
    float* line_;
    // Rows of pixels on their way to rows of cells: finished, lacking the row below, and the last
    // odd one; (labels, pixel_pitch_) after a margin of 2 L.
    float* done_ = nullptr;
    float* pending_ = nullptr;
    float* previous_ = nullptr;
    std::vector<const float*> share_rows_;
    std::vector<float> share_taps_;
};

}  // namespace AUTOSEG_ISA
