// The bilateral filter over an image's pixels: the lattice with a row of labels at each point.
//
// Rows are woven (weave.hpp) here: of the lattice, of the factors and in all arguments.
#pragma once

#include "softmax.hpp"
#include "spatial.hpp"
#include "table.hpp"
#include "weave.hpp"

namespace AUTOSEG_ISA {

class BilateralFilter {
public:
    static constexpr index_t L = kLanes<float>;

    BilateralFilter(const BilateralFilter&) = delete;  // the table refers to the lattice
    BilateralFilter& operator=(const BilateralFilter&) = delete;
    BilateralFilter(const autoseg::CrfCall& call, const autoseg::CrfBilateral& kernel,
                    const std::vector<Rows>& bands, Arena& memory)
        : row_(round_up(call.labels, kHalfRow)),
          pitch_(round_up(call.width, L)),
          last_block_(call.height * pitch_ - L),
          lattice_(build(call, kernel, bands, pitch_, memory)),
          table_(lattice_, row_, memory),
          block_sums_(call.height, call.width),
          weights_(memory.zeros<float>(round_up(row_, L))) {
        for (index_t c = 0; c < call.labels; ++c) weights_[c] = kernel.weights[c] * kPerNat;
        if (call.normalisation != autoseg::kNone) normalise(call, memory);
        lattice_.forget_corners();  // the table has its own
    }

    // Factors of L pixels' values before and after the lattice, where it does not have them itself.
    AUTOSEG_INLINE Vec<float> before(index_t y, index_t x) const {
        return before_ ? load(before_ + y * pitch_ + x) : spread(1.f);
    }
    AUTOSEG_INLINE Vec<float> after(index_t y, index_t x) const {
        return after_ ? load(after_ + y * pitch_ + x) : spread(1.f);
    }

    // The smallest of a block's row sums, about how many pixels are like one of its; 0 without
    // a normalisation, which takes none.
    float block_sum(index_t y, index_t x) const { return block_sums_.at(y, x); }

    void clear(index_t band) { table_.clear(band); }
    void blur(int num_threads) { table_.blur(false, num_threads); }

    index_t place(index_t y, index_t x) const { return std::min(y * pitch_ + x, last_block_); }

    // Slice labels c, ..., c + Labels - 1 of L pixels, times the labels' weights; values: labels by
    // pixels. Labels is what `for_pieces` makes.
    //
    // ahead: the `place` of pixels that are asked for early, a few at a time: memory serves only so
    // many requests at once. Negative: none.
    template <int Labels>
    AUTOSEG_INLINE void slice(index_t band, index_t y, index_t x, index_t c, index_t ahead,
                              Vec<float>* values) const {
        const Lattice::Corners* corners = table_.slice_corners(band);
        const std::uint32_t* simplex = lattice_.simplices(y * pitch_ + x);
        const Lattice::CornerValues* weights = lattice_.weights(y * pitch_ + x);
        // At the end of the row these pixels again: the next ones may be another band's.
        const std::uint32_t* next =
            lattice_.simplices(y * pitch_ + std::min(x + L, pitch_ - L));
        const float* table = table_.blurred() + c;
        alignas(AUTOSEG_VECTOR_BYTES) float rows[Labels * L];
#pragma GCC unroll 8
        for (int pair = 0; pair < int(L / 2); ++pair) {
            if (ahead >= 0) {
                fetch(ahead, pair);
                __builtin_prefetch(&corners[next[2 * pair]]);
                __builtin_prefetch(&corners[next[2 * pair + 1]]);
            }
            unroll<2>([&](auto which) AUTOSEG_INLINED {
                const int pixel = 2 * pair + which;
                const Corner corner(corners[simplex[pixel]], weights[pixel]);
                for_vectors<Labels>([&](auto count, auto first) AUTOSEG_INLINED {
                    typename RowOf<count>::type row, sums[2] = {};
                    unroll<kCorners>([&](auto k) AUTOSEG_INLINED {
                        std::memcpy(&row, table + corner.place[k] + first, sizeof(row));
                        sums[k & 1] += row * corner.template weight<count>(k);
                    });
                    row = sums[0] + sums[1];
                    std::memcpy(rows + first * L + pixel * count, &row, sizeof(row));
                });
            });
        }
        for_vectors<Labels>([&](auto count, auto first) AUTOSEG_INLINED {
            using Row = typename RowOf<count>::type;
            const Row* sliced = reinterpret_cast<const Row*>(rows + first * L);
            unroll<count>([&](auto i) AUTOSEG_INLINED {
                if constexpr (count == int(L)) {
                    values[first + i] = sliced[i];
                } else {
                    values[first + i] = join(sliced[i], sliced[i + L / 2]);
                }
            });
            transpose<count>(values + first);
        });
        unroll<Labels>([&](auto i) AUTOSEG_INLINED { values[i] *= spread(weights_[c + i]); });
    }

    // Add labels c, ..., c + Labels - 1 of L pixels to the band's points; values: labels by pixels,
    // which this changes.
    template <int Labels>
    AUTOSEG_INLINE void splat_to(index_t band, index_t y, index_t x, index_t c, index_t ahead,
                                 Vec<float>* values) {
        const Lattice::Corners* corners = table_.splat_corners(band);
        const std::uint32_t* simplex = lattice_.simplices(y * pitch_ + x);
        const Lattice::CornerValues* weights = lattice_.weights(y * pitch_ + x);
        float* table = table_.splatted() + c;
        alignas(AUTOSEG_VECTOR_BYTES) float rows[Labels * L];
        for_vectors<Labels>([&](auto count, auto first) AUTOSEG_INLINED {
            using Row = typename RowOf<count>::type;
            Row* splatted = reinterpret_cast<Row*>(rows + first * L);
            transpose<count>(values + first);
            unroll<count>([&](auto i) AUTOSEG_INLINED {
                if constexpr (count == int(L)) {
                    splatted[i] = values[first + i];
                } else {
                    splatted[i] = half<0>(values[first + i]);
                    splatted[i + L / 2] = half<int(L / 2)>(values[first + i]);
                }
            });
        });
        // First and second half in turn: neighbours often share a simplex, and a sum has to be
        // stored before the next is added to it.
#pragma GCC unroll 8
        for (int pair = 0; pair < int(L / 2); ++pair) {
            if (ahead >= 0) fetch(ahead, pair);
            unroll<2>([&](auto which) AUTOSEG_INLINED {
                const int pixel = pair + which * int(L / 2);
                const Corner corner(corners[simplex[pixel]], weights[pixel]);
                for_vectors<Labels>([&](auto count, auto first) AUTOSEG_INLINED {
                    typename RowOf<count>::type value, sum;
                    std::memcpy(&value, rows + first * L + pixel * count, sizeof(value));
                    unroll<kCorners>([&](auto k) AUTOSEG_INLINED {
                        float* at = table + corner.place[k] + first;
                        std::memcpy(&sum, at, sizeof(sum));
                        sum += value * corner.template weight<count>(k);
                        std::memcpy(at, &sum, sizeof(sum));
                    });
                });
            });
        }
    }

private:
    // What a pixel reads and writes at, in registers.
    struct Corner {
        index_t place[kCorners];
        Vec<float> weights[kCorners];

        AUTOSEG_INLINE Corner(const Lattice::Corners& corners, const Lattice::CornerValues& values) {
            unroll<kCorners>([&](auto k) AUTOSEG_INLINED {
                place[k] = corners.corner[k];
                weights[k] = spread(values.corner[k]);
            });
        }
        template <int Count>
        AUTOSEG_INLINE auto weight(int k) const {
            typename RowOf<Count>::type row;
            std::memcpy(&row, &weights[k], sizeof(row));
            return row;
        }
    };

    // The pair-th of L / 2 parts of what pixels are sliced and splatted with.
    AUTOSEG_INLINE void fetch(index_t ahead, int pair) const {
        if (pair == 0) __builtin_prefetch(lattice_.simplices(ahead));
        __builtin_prefetch(lattice_.weights(ahead + 2 * pair));
    }

    static Lattice build(const autoseg::CrfCall& call, const autoseg::CrfBilateral& kernel,
                         const std::vector<Rows>& bands, index_t pitch, Arena& memory) {
        const index_t height = call.height, width = call.width, pixels = height * width;
        double lowest[kDims], highest[kDims];
        const auto feature = [&](int dim, double value) {
            const double std = dim < 2 ? kernel.xy_std : kernel.rgb_std;
            return value / std * call.feature_scale * lattice_scale(dim);
        };
        const auto colour = [&](int dim, index_t pixel) {
            const index_t at = (dim - 2) * pixels + pixel;
            return call.bytes != nullptr ? float(call.bytes[at]) : call.image[at];
        };
        for (int dim = 0; dim < kDims; ++dim) {
            float low = 0, high = float(dim == 0 ? width : height);
            if (dim >= 2 && call.bytes != nullptr) {
                high = 255;
            } else if (dim >= 2) {
                low = high = colour(dim, 0);
                for (index_t i = 0; i < pixels; ++i) {
                    const float value = colour(dim, i);
                    low = value < low ? value : low;
                    high = value > high ? value : high;
                }
            }
            lowest[dim] = feature(dim, low);
            highest[dim] = feature(dim, high);
        }
        // What few values take is computed once: divisions are slow.
        std::vector<double> columns(static_cast<std::size_t>(width)), shades;
        for (index_t x = 0; x < width; ++x) columns[std::size_t(x)] = feature(0, double(x));
        for (int dim = 2; call.bytes != nullptr && dim < kDims; ++dim) {
            for (int value = 0; value < 256; ++value) shades.push_back(feature(dim, value));
        }
        const auto fill = [&](index_t row, double* features) {
            std::copy(columns.begin(), columns.end(), features);
            for (index_t parity = 0; parity < 2; ++parity) {
                const index_t y = woven_row(row, parity, height);
                const double at_row = feature(1, double(y));
                for (index_t x = parity; x < width; x += 2) {
                    features[pitch + x] = at_row;
                }
                for (int dim = 2; dim < kDims; ++dim) {
                    double* to = features + dim * pitch;
                    const index_t first = ((dim - 2) * height + y) * width;
                    if (call.bytes != nullptr) {
                        const double* shade = shades.data() + 256 * (dim - 2);
                        for (index_t x = parity; x < width; x += 2) {
                            to[x] = shade[call.bytes[first + x]];
                        }
                    } else {
                        for (index_t x = parity; x < width; x += 2) {
                            to[x] = feature(dim, double(call.image[first + x]));
                        }
                    }
                }
            }
        };
        return Lattice(bands, width, pitch, call.closed, lowest, highest, memory, call.num_threads,
                       fill);
    }

    void normalise(const autoseg::CrfCall& call, Arena& memory) {
        const bool is_symmetric = call.normalisation == autoseg::kSymmetric;
        // The lattice itself takes the factors of both sides.
        float* factors = is_symmetric ? nullptr : memory.take<float>(call.height * pitch_);
        lattice_.product_of_ones([&](index_t y, float* sums) {
            block_sums_.add(sums, y, call.width);
            // Padding has the sum 0; any other will do.
            std::fill(sums + call.width, sums + pitch_, 1.f);
            float* row = is_symmetric ? sums : factors + y * pitch_;
            for (index_t x = 0; x < pitch_; x += L) {
                const Vec<float> inverse = spread(1.f) / load(sums + x);
                store(row + x, is_symmetric ? square_root(inverse) : inverse);
            }
            if (is_symmetric) lattice_.scale(y, row);
        });
        if (!is_symmetric) (call.normalisation == autoseg::kBefore ? before_ : after_) = factors;
    }

    index_t row_, pitch_;  // floats of a point; pixels of an image row
    index_t last_block_;   // its first pixel
    Lattice lattice_;
    LatticeTable table_;
    BlockSums block_sums_;
    float* weights_;  // of the labels, in units of log2
    const float* before_ = nullptr;
    const float* after_ = nullptr;
};

}  // namespace AUTOSEG_ISA
