import re
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.errors import UsageError
from autoseg.networks.duc_hdc import (
    DUCHDC,
    HDC_RATES,
    DenseUpsampling,
    RectifiedUpsampling,
    duc_hdc_resnet101,
    hdc_rates,
    resnet152_duc,
    resnet152_duc_hdc,
)
from autoseg.networks.encoders.resnet import ResNet
from autoseg.networks.weightless import weightless
from tests.networks.encoders import layouts


def small_network(*, cell: int = 2) -> DUCHDC:
    torch.manual_seed(0)
    encoder = ResNet((1, 1, 1, 1), output_stride=8, stem="3x3", stride_on="1x1", width=0.125)
    return DUCHDC(encoder, num_classes=5, cell=cell).double().eval()


def convolution(network: nn.Module, name: str) -> nn.Conv2d:
    found = network.get_submodule(name)
    assert isinstance(found, nn.Conv2d)
    return found


def test_rates_of_every_block() -> None:
    encoder = duc_hdc_resnet101(5, width=0.125).encoder
    rates = [
        [
            convolution(encoder, f"layer{stage}.{block}.conv2").dilation[0]
            for block in range(num_blocks)
        ]
        for stage, num_blocks in enumerate((3, 4, 23, 3), start=1)
    ]
    assert rates[0] == [1, 1, 1]
    assert rates[1] == [1, 1, 1, 1]
    # As the release lists them, block by block.
    assert rates[2] == [2, 2, 5, 9, 1, 2, 5, 9, 1, 2, 5, 9, 1, 2, 5, 9, 1, 2, 5, 9, 1, 2, 5]
    assert rates[3] == [5, 9, 17]
    strides = [convolution(encoder, f"layer{stage}.0.conv1").stride for stage in (1, 2, 3, 4)]
    assert strides == [(1, 1), (2, 2), (1, 1), (1, 1)]


def test_rates_of_the_summed_convolutions() -> None:
    network = duc_hdc_resnet101(5, width=0.125)
    context = [convolution(network, f"upsample.context.{branch}") for branch in range(4)]
    assert len(network.upsample.context) == 4
    assert [branch.dilation[0] for branch in context] == [6, 12, 18, 24]


def test_channels_are_rearranged_by_class_then_row_then_column() -> None:
    torch.manual_seed(0)
    num_classes, upsampling = 3, 4
    head = DenseUpsampling(6, num_classes, upsampling=upsampling).double()
    features = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    summed = torch.zeros(2, num_classes * upsampling**2, 5, 7, dtype=torch.float64)
    for rate, convolve in zip((6, 12, 18, 24), head.context, strict=True):
        assert isinstance(convolve, nn.Conv2d)
        summed += F.conv2d(features, convolve.weight, convolve.bias, padding=rate, dilation=rate)
    logits = head(features)
    assert logits.shape == (2, num_classes, 5 * upsampling, 7 * upsampling)
    for label in range(num_classes):
        for row in range(5 * upsampling):
            for column in range(7 * upsampling):
                y, dy = divmod(row, upsampling)
                x, dx = divmod(column, upsampling)
                channel = (label * upsampling + dy) * upsampling + dx
                expected = summed[:, channel, y, x]
                torch.testing.assert_close(logits[:, label, row, column], expected)


def test_nothing_touches_the_logits() -> None:
    network = duc_hdc_resnet101(5, width=0.125)
    kinds = {type(part) for part in network.upsample.modules()}
    assert kinds == {DenseUpsampling, nn.ModuleList, nn.Conv2d, nn.PixelShuffle}
    assert all(convolve.bias is not None for convolve in network.upsample.context)
    logits = small_network()(torch.randn(1, 3, 32, 40, dtype=torch.float64))
    # A ReLU would leave no negative logit.
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize(("height", "width"), [(33, 41), (39, 40), (3, 70)])
def test_odd_sizes_are_padded_with_zeros_and_cropped(height: int, width: int) -> None:
    network = small_network()
    images = torch.randn(2, 3, height, width, dtype=torch.float64)
    padded = torch.zeros(2, 3, -(-height // 8) * 8, -(-width // 8) * 8, dtype=torch.float64)
    padded[:, :, :height, :width] = images
    assert torch.equal(network(images), network(padded)[:, :, :height, :width])


@pytest.mark.parametrize("cell", [1, 2, 4, 8])
def test_a_cell_is_a_square_of_pixels(cell: int) -> None:
    network = small_network(cell=cell)
    images = torch.randn(1, 3, 24, 40, dtype=torch.float64)
    cells = network.upsample(network.encoder(images))
    logits = network(images)
    assert cells.shape == (1, 5, 24 // cell, 40 // cell)
    assert convolution(network, "upsample.context.0").out_channels == (8 // cell) ** 2 * 5
    # Bilinear weights of a cell's own pixels: with half-pixel centres an inner cell's square has
    # the mean of its 3 x 3 cells under weights (1/8, 3/4, 1/8) a side, for every even cell.
    if cell == 1:
        assert torch.equal(logits, cells)
        return
    means = F.avg_pool2d(logits, cell)[:, :, 1:-1, 1:-1]
    side = torch.tensor([1 / 8, 3 / 4, 1 / 8], dtype=torch.float64)
    kernel = torch.outer(side, side).expand(5, 1, 3, 3)
    torch.testing.assert_close(means, F.conv2d(cells, kernel, groups=5))


def test_macs_layer_by_layer() -> None:
    height, width, num_classes = 64, 96, 19
    half, quarter, eighth = (height * width // step**2 for step in (2, 4, 8))
    total = (27 * 64 + 9 * 64 * 64 + 9 * 64 * 128) * half
    channels = 128
    # The stride is on the first 1x1, so that each block works at its output's resolution.
    for inner, count, positions in ((64, 3, quarter), (128, 4, eighth), (256, 23, eighth)):
        total += channels * 4 * inner * positions
        for _ in range(count):
            total += (channels * inner + 9 * inner**2 + 4 * inner**2) * positions
            channels = 4 * inner
    total += (1024 * 2048 + 1024 * 512 + 2 * 2048 * 512 + 3 * 13 * 512**2) * eighth
    total += 4 * 9 * 2048 * 16 * num_classes * eighth
    with weightless():
        network = duc_hdc_resnet101(num_classes).eval()
        images = torch.empty(1, 3, height, width)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    assert counter.get_total_flops() == 2 * total


def test_refuses_a_cell_that_does_not_divide_the_stride() -> None:
    with pytest.raises(UsageError, match=r"DUCHDC: cell 3 does not divide 8; use 1, 2, 4 or 8\."):
        small_network(cell=3)


def test_hybrid_rates_are_repeated_and_cut_short() -> None:
    assert hdc_rates(7, (1, 2, 5)) == (1, 2, 5, 1, 2, 5, 1)
    # All but the first group of the release's stage 3, whose first block has rate 2.
    assert hdc_rates(19) == HDC_RATES[3][4:]


# Of the paper: "[1, 2, 5]" works, M_2 = 2; "[1, 2, 9]" does not, M_2 = 5; "[2, 4, 8]" has a common
# factor. A kernel of 5 covers distances up to 5.
@pytest.mark.parametrize(
    ("pattern", "kernel_size", "message"),
    [
        ((1, 2, 9), 3, "group (1, 2, 9) has M_2 = 5, more than the kernel size 3"),
        (
            (2, 4, 8),
            3,
            "(2, 4, 8) has the common factor 2: of 2 neighbouring pixels one is read",
        ),
        ((3, 3), 3, "group (3, 3) has the common factor 3"),
        ((1, 2, 13), 5, "group (1, 2, 13) has M_2 = 9, more than the kernel size 5"),
        ((2,), 3, "group (2,); give at least two rates from 1 up."),
        ((0, 1), 3, "group (0, 1); give at least two rates from 1 up."),
    ],
)
def test_refuses_rates_that_show_a_grid(pattern, kernel_size: int, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        hdc_rates(4, pattern, kernel_size=kernel_size)


def test_a_larger_kernel_covers_larger_distances() -> None:
    assert hdc_rates(3, (1, 2, 9), kernel_size=5) == (1, 2, 9)


def test_accepted_groups_from_rate_1_miss_no_pixel() -> None:
    # Brute force over the pixels of a row that a stack of three 3-tap kernels reads.
    num_accepted = 0
    for rates in product([1], range(1, 8), range(1, 20)):
        read = {sum(steps) for steps in product(*((-rate, 0, rate) for rate in rates))}
        try:
            hdc_rates(3, rates)
        except UsageError:
            continue
        num_accepted += 1
        assert read == set(range(-sum(rates), sum(rates) + 1)), rates
    assert num_accepted > 5


def rates_of(network: DUCHDC) -> list[list[int]]:
    rates: list[list[int]] = []
    for stage, num_blocks in enumerate((3, 8, 36, 3), start=1):
        rates.append([])
        for block in range(num_blocks):
            layer = network.encoder.get_submodule(f"layer{stage}.{block}.conv2")
            assert isinstance(layer, nn.Conv2d)
            assert layer.padding == layer.dilation
            assert layer.stride == ((2, 2) if stage == 2 and block == 0 else (1, 1))
            rates[-1].append(layer.dilation[0])
    return rates


def test_rates_of_every_block_of_resnet152() -> None:
    # The implementation sets them by name: "conv2" of every block of layer3 and layer4.
    assert rates_of(resnet152_duc(2, width=0.125)) == [[1] * 3, [1] * 8, [2] * 36, [4] * 3]
    hybrid = [index for _ in range(9) for index in (1, 2, 5, 9)]
    assert rates_of(resnet152_duc_hdc(2, width=0.125)) == [[1] * 3, [1] * 8, hybrid, [5, 9, 17]]


def test_resnet152_is_torchvisions() -> None:
    with weightless():
        state = resnet152_duc(19).encoder.state_dict()
    layout = [entry for entry in layouts.resnet((3, 8, 36, 3)) if not entry[0].startswith("fc.")]
    assert [(key, tuple(value.shape)) for key, value in state.items()] == layout


def test_logits_are_normalised_rectified_and_rearranged() -> None:
    torch.manual_seed(0)
    head = RectifiedUpsampling(6, 3, upsampling=4).double()
    convolution, norm, _ = head.predict
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    features = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    raw = F.conv2d(features, convolution.weight, convolution.bias, padding=1)
    # Batch statistics, by the formula; weight 1 and bias 0.
    mean = raw.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((raw - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    assert isinstance(norm, nn.BatchNorm2d)
    expected = ((raw - mean) / (variance + norm.eps).sqrt()).clamp(min=0)
    logits = head(features)
    for row in range(4 * 5):
        for column in range(4 * 7):
            channels = [(label * 4 + row % 4) * 4 + column % 4 for label in range(3)]
            position = expected[:, channels, row // 4, column // 4]
            torch.testing.assert_close(logits[:, :, row, column], position)
    assert logits.min() == 0


def test_resnet152s_map_is_enlarged_without_interpolation() -> None:
    torch.manual_seed(0)
    encoder = ResNet((1, 1, 1, 1), output_stride=8, width=0.125)
    network = DUCHDC(encoder, num_classes=5, cell=1, upsampler=RectifiedUpsampling).double().eval()
    images = torch.randn(1, 3, 24, 40, dtype=torch.float64)
    expected = network.upsample(network.encoder(images))
    assert expected.shape == (1, 5, 24, 40)
    assert torch.equal(network(images), expected)
