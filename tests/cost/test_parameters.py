"""Parameter counts worked by hand."""

from torch import nn

from autoseg.cost import count_parameters


def test_convolution_and_batch_norm_by_hand() -> None:
    # 3 x 3 kernels from 4 to 6 channels with bias, then scale and shift; running statistics not.
    network = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))
    assert count_parameters(network) == (3 * 3 * 4 * 6 + 6) + 2 * 6


def test_frozen_parameters_count_and_shared_ones_count_once() -> None:
    linear = nn.Linear(5, 5, bias=False)
    linear.weight.requires_grad = False
    assert count_parameters(nn.Sequential(linear, nn.ReLU(), linear)) == 25


def test_meta_networks_are_counted() -> None:
    assert count_parameters(nn.Linear(10**6, 10**6, device="meta")) == 10**12 + 10**6
