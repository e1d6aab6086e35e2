// Which pixels an update may leave as they are.
//
// Late in an inference most pixels have settled. A pixel's marginals are kept from the update that
// last computed them, and the messages that they send stay in the filters: an update that changes
// them hands over the difference. Whether it has to is decided without computing them. With v the
// largest q (1 - q) of a pixel's marginals q, messages that have moved by no more than d since, in
// powers of two, move none of them by more than
//
//     v (2^(2 d) - 1)
//
// since one score's odds against all others change by a factor of 2^(2 d) at most. Filters bound d
// from what was handed over to them; the bounds of several updates add up.
#pragma once

#include "arena.hpp"
#include "crf_math.hpp"

namespace AUTOSEG_ISA {

class Settled {
public:
    static constexpr index_t L = kLanes<float>;
    // Marginals are kept in units of it, and differences are whole numbers of them.
    static constexpr float kUnit = 1.f / 65535;

    // tolerance: by how much a kept marginal may differ from a computed one.
    Settled(index_t labels, index_t height, index_t width, double tolerance, Arena& memory)
        : labels_(labels), pitch_(round_up(width, L)), tolerance_(float(tolerance)) {
        kept_ = memory.take<std::uint16_t>(labels * height * pitch_);
        odds_ = memory.take<float>(height * pitch_);
        moved_ = memory.take<float>(height * pitch_);
    }

    index_t place(index_t y, index_t x) const { return y * pitch_ + x; }

    // Count a move of the messages at L pixels. Returns how far they may still move; below 0, the
    // pixels have to be computed.
    //
    // share: of the tolerance that marginals may differ by.
    AUTOSEG_INLINE Vec<float> move(index_t place, Vec<float> distance, float share) {
        const Vec<float> moved = load(moved_ + place) + distance;
        store(moved_ + place, moved);
        // log2 from below: exact at powers of two, a straight line between them.
        const Vec<float> odds = spread(1.f) + spread(share) * load(odds_ + place);
        const Vec<float> bits = __builtin_convertvector((Mask<float>)odds, Vec<float>);
        return spread(0.5f) * (bits * spread(0x1p-23f) - spread(127.f)) - moved;
    }

    // Write the marginals of L pixels to `values`, (labels, L), and return the factor that makes
    // them a distribution. None is 0, so that all have a logarithm.
    AUTOSEG_INLINE Vec<float> restore(index_t place, float* values) const {
        const std::uint16_t* kept = kept_ + place * labels_;
        Vec<float> sum{};
        for (index_t c = 0; c < labels_; ++c, kept += L) {
            Short whole;
            std::memcpy(&whole, kept, sizeof(whole));
            const Vec<float> value =
                __builtin_convertvector(__builtin_convertvector(whole, Mask<float>), Vec<float>) +
                spread(1.f / 64);
            sum += value;
            store(values + c * L, value);
        }
        return spread(1.f) / sum;
    }

    // Keep the marginals values * factor, (labels, L), and put in place of the values what they
    // differ by from those kept before, in units. Returns the largest difference of each pixel.
    //
    // ahead: pixels whose marginals are asked for early, as `place` gives it.
    AUTOSEG_INLINE Vec<float> replace(index_t place, index_t ahead, float* values,
                                      Vec<float> factor, bool is_first) {
        std::uint16_t* kept = kept_ + place * labels_;
        const std::uint16_t* later = kept_ + ahead * labels_;
        const Vec<float> scale = factor * spread(1 / kUnit);
        Vec<float> highest{}, change{};
        for (index_t c = 0; c < labels_; ++c, kept += L, later += L) {
            __builtin_prefetch(later, 1);
            const Vec<float> value = load(values + c * L) * scale;
            highest = maximum<float>(highest, value);
            const Mask<float> now = __builtin_convertvector(value + spread(0.5f), Mask<float>);
            Short before{};
            if (!is_first) std::memcpy(&before, kept, sizeof(before));
            const Mask<float> was = __builtin_convertvector(before, Mask<float>);
            const Short rounded = __builtin_convertvector(now, Short);
            std::memcpy(kept, &rounded, sizeof(rounded));
            const Vec<float> difference = __builtin_convertvector(now - was, Vec<float>);
            change = maximum<float>(change, maximum<float>(difference, -difference));
            store(values + c * L, difference);
        }
        const Vec<float> likeliest = highest * spread(kUnit), smallest = spread(1e-7f);
        const Vec<float> others = maximum<float>(spread(1.f) - likeliest, smallest);
        const Vec<float> v = others < spread(0.5f) ? others * likeliest : spread(0.25f);
        store(odds_ + place, spread(tolerance_) / v);
        store(moved_ + place, Vec<float>{});
        return change;
    }

private:
    typedef std::uint16_t Short __attribute__((vector_size(sizeof(std::uint16_t) * L), may_alias));

    index_t labels_, pitch_;
    float tolerance_;
    std::uint16_t* kept_;  // (height, pitch / L, labels, L)
    // For each pixel, (height, pitch): tolerance / v, and how far the messages have moved.
    float* odds_;
    float* moved_;
};

}  // namespace AUTOSEG_ISA
