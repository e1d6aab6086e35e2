import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autoseg.reporting.gridding import draw_gridding, path_counts


@pytest.mark.parametrize("rates", [(1,), (2, 2, 2), (1, 2, 5), (1, 2, 9), (2, 4, 8)])
def test_counts_are_the_gradient_of_stacked_convolutions(rates) -> None:
    counts = path_counts(rates)
    side = 1 + 2 * sum(rates)
    image = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    features, ones = image, torch.ones(1, 1, 3, 3, dtype=torch.float64)
    for rate in rates:
        features = F.conv2d(features, ones, dilation=rate)
    features.sum().backward()
    assert features.shape == (1, 1, 1, 1)
    assert image.grad is not None
    np.testing.assert_array_equal(counts, image.grad[0, 0].numpy())


def test_titles_name_the_share_that_is_read() -> None:
    # By hand: rate 2 three times reads 7 of 13 pixels a side, 49 of 169; (1, 2, 5) all of them.
    panels = draw_gridding(((2, 2, 2), (1, 2, 5))).axes
    assert [panel.get_title() for panel in panels] == [
        "rates 2, 2, 2\n29% of the pixels",
        "rates 1, 2, 5\n100% of the pixels",
    ]
    for panel, side in zip(panels, (13, 17), strict=True):
        assert panel.images[0].get_array().shape == (side, side)
        assert panel.get_xlabel() == f"{side} x {side}"
