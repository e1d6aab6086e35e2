import copy
import math

import pytest
import torch
from torch import Tensor, nn

from autoseg.networks.encoders.dilation import AtrousPool2d, dilate_

EXAMPLE = nn.Sequential(
    nn.Conv2d(3, 4, 3, stride=2, padding=1),
    nn.MaxPool2d(2, stride=2),
    nn.Conv2d(4, 4, 5, stride=2, padding=2),
    nn.Conv2d(4, 4, 1),
    nn.Conv2d(4, 4, 3, padding=1),
    nn.MaxPool2d(3, stride=2),
    nn.Conv2d(4, 4, 3, padding=2, dilation=2),
    nn.MaxPool2d(3, stride=1, padding=1),
    nn.AvgPool2d(2, stride=2),
    nn.Conv2d(4, 4, 3, padding=1),
)


def test_worked_example() -> None:
    # Strides 2, 4, 8 are kept; the pooling to 16 reads rate 1, what follows rate 2, and so on.
    network = copy.deepcopy(EXAMPLE)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    dilate_(network, output_stride=8)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convolutions] == [2, 2, 1, 1, 1, 1]
    assert [layer.dilation[0] for layer in convolutions] == [1, 1, 1, 1, 4, 4]
    assert [layer.padding[0] for layer in convolutions] == [1, 2, 0, 1, 4, 4]
    pools = [layer for layer in network if isinstance(layer, AtrousPool2d)]
    described = [(pool.kernel_size, pool.rate, pool.padding, pool.is_average) for pool in pools]
    assert described == [(3, 1, (0, 0), False), (3, 2, (2, 2), False), (2, 2, (0, 0), True)]
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", [(97, 128), (115, 154), (130, 101)])
def test_every_so_many_pixels_are_the_strided_networks(
    output_stride: int, ceil_mode: bool, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    strided = copy.deepcopy(EXAMPLE).double()
    for layer in strided:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = ceil_mode
    dense = copy.deepcopy(strided)
    dilate_(dense, output_stride=output_stride)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    step = 32 // output_stride
    torch.testing.assert_close(dense(images)[:, :, ::step, ::step], strided(images))


@pytest.mark.parametrize("output_stride", [32])
def test_nothing_changes_where_no_stride_is_lost(output_stride: int) -> None:
    network = copy.deepcopy(EXAMPLE)
    dilate_(network, output_stride=output_stride)
    assert str(network) == str(EXAMPLE)


def pooled_by_hand(features: Tensor, pool: AtrousPool2d) -> Tensor:
    """Pool one map position by position."""
    before, after = pool.padding
    height, width = features.shape
    reach = (pool.kernel_size - 1) * pool.rate
    rows = []
    for top in range(-before, height + after - reach):
        row = []
        for left in range(-before, width + after - reach):
            inside = [
                features[top + i * pool.rate, left + j * pool.rate].item()
                for i in range(pool.kernel_size)
                for j in range(pool.kernel_size)
                if 0 <= top + i * pool.rate < height and 0 <= left + j * pool.rate < width
            ]
            row.append(math.fsum(inside) / len(inside) if pool.is_average else max(inside))
        rows.append(row)
    return torch.tensor(rows, dtype=features.dtype)


@pytest.mark.parametrize(
    "pool",
    [
        AtrousPool2d(2, rate=1, is_average=False),
        AtrousPool2d(3, rate=2, is_average=False, padding=(2, 2)),
        AtrousPool2d(3, rate=2, is_average=False, padding=(0, 2)),
        AtrousPool2d(2, rate=3, is_average=True),
    ],
    ids=str,
)
def test_pooling_by_hand(pool: AtrousPool2d) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 3, 7, 8, dtype=torch.float64) - 5
    pooled = pool(features)
    for image in range(2):
        for channel in range(3):
            expected = pooled_by_hand(features[image, channel], pool)
            torch.testing.assert_close(pooled[image, channel], expected)
