"""Averages over the bins of a grid."""

import pytest
import torch
import torch.nn.functional as F

from autoseg.ops.pooling import grid_means


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(1, 5), (6, 12), (7, 13), (17, 4)])
def test_matrices_give_what_adaptive_pooling_does(size, bins):
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = F.adaptive_avg_pool2d(features, bins)
    torch.testing.assert_close(grid_means(features, bins), expected)
