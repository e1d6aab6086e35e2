"""Positions and colours against indexing the image."""

import torch

from autoseg.crf.pixels import pixel_colours, pixel_positions


def test_positions_and_colours_follow_the_same_order_of_pixels():
    image = torch.arange(3 * 2 * 4, dtype=torch.uint8).view(3, 2, 4)

    positions, colours = pixel_positions(image), pixel_colours(image)

    for (column, row), colour in zip(positions.tolist(), colours, strict=True):
        assert torch.equal(colour, image[:, row, column])
    assert positions[1].tolist() == [1, 0]  # columns run fastest
