// How maps are laid out: (groups, blocks, H, W, lanes).
//
// Vectors run over channels, never over pixels, so that maps of any size waste nothing and every
// load is aligned. Where a state has fewer channels than lanes, a vector holds the channels of
// several images (a group); where it has more, an image is a group of several blocks.
#pragma once

#include <algorithm>

#include "../vec.hpp"

namespace AUTOSEG_ISA {

template <class T>
struct Geometry {
    static constexpr index_t L = kLanes<T>;

    index_t num_images, channels, height, width;
    index_t padded_channels;  // channels an image takes
    index_t lane_images;      // images a vector holds
    index_t groups, blocks;
    index_t pixels;

    Geometry(index_t images, index_t num_channels, index_t h, index_t w)
        : num_images(images), channels(num_channels), height(h), width(w), pixels(h * w) {
        if (num_channels >= L) {
            padded_channels = (num_channels + L - 1) / L * L;
        } else {
            padded_channels = 1;  // a power of two, so that images fill a vector
            while (padded_channels < num_channels) padded_channels *= 2;
        }
        lane_images = std::max<index_t>(1, L / padded_channels);
        blocks = std::max<index_t>(1, padded_channels / L);
        groups = (images + lane_images - 1) / lane_images;
    }

    bool shares_vectors() const { return lane_images > 1; }
    index_t planes() const { return groups * blocks; }
    index_t plane() const { return pixels * L; }         // elements of a plane
    index_t map() const { return planes() * plane(); }   // elements of a whole map
    index_t lanes() const { return blocks * L; }         // a value for each lane of a group
    index_t channel_of(index_t lane) const {             // lane in [0, lanes())
        return shares_vectors() ? lane % padded_channels : lane;
    }
    index_t values() const { return num_images * pixels; }  // that batch norm averages over

    // 1 in lanes that belong to an image, 0 in those that only fill the last group's vectors.
    Vec<T> image_mask(index_t group) const {
        Vec<T> mask{};
        for (index_t lane = 0; lane < L; ++lane) {
            const index_t image = group * lane_images + (shares_vectors() ? lane / padded_channels : 0);
            mask[lane] = image < num_images ? T(1) : T(0);
        }
        return mask;
    }
};

// A map with a border of zeros, which convolutions read.
template <class T>
struct Padded {
    index_t border, pitch, plane;  // pitch and plane in elements

    Padded(const Geometry<T>& geometry, index_t border_pixels)
        : border(border_pixels),
          pitch((geometry.width + 2 * border_pixels) * kLanes<T>),
          plane((geometry.height + 2 * border_pixels) * pitch) {}

    // Offset of the first tap that a convolution with the given reach reads for a row.
    index_t row(index_t y, index_t reach) const {
        return (y + border - reach) * pitch + (border - reach) * kLanes<T>;
    }
};

}  // namespace AUTOSEG_ISA
