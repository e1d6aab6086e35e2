"""Each way of enlarging a map against another definition of the same thing."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.ops import bilinear_kernel, bilinear_upsampler, pool_with_indices, resize, unpool


def random_map(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [(4, 2, 1), (3, 2, 0), (7, 3, 2)])
def test_transposed_convolution_is_a_fractionally_strided_one(kernel_size, stride, padding) -> None:
    # Insert zeros between the pixels, and convolve at stride 1 with the flipped kernel.
    layer = nn.ConvTranspose2d(3, 5, kernel_size, stride=stride, padding=padding).double()
    features = random_map(2, 3, 6, 7)
    spread = torch.zeros(2, 3, 5 * stride + 1, 6 * stride + 1, dtype=torch.float64)
    spread[:, :, ::stride, ::stride] = features
    flipped = layer.weight.flip(2, 3).transpose(0, 1)
    expected = F.conv2d(spread, flipped, layer.bias, padding=kernel_size - 1 - padding)
    torch.testing.assert_close(layer(features), expected)


def test_transposed_convolution_is_the_gradient_of_a_convolution() -> None:
    layer = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1, bias=False).double()
    features, image = random_map(2, 3, 6, 7), random_map(2, 5, 12, 14).requires_grad_()
    F.conv2d(image, layer.weight, stride=2, padding=1).backward(features)
    torch.testing.assert_close(layer(features), image.grad)


# By hand: tents over 2 * stride and over 2 * stride - 1 positions.
@pytest.mark.parametrize(
    ("size", "tent"),
    [(4, [0.25, 0.75, 0.75, 0.25]), (3, [0.5, 1, 0.5]), (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])],
)
def test_bilinear_kernel_by_hand(size: int, tent: list[float]) -> None:
    side = torch.tensor(tent)
    torch.testing.assert_close(bilinear_kernel(size), side[:, None] * side[None, :])


@pytest.mark.parametrize("stride", [2, 8, 16, 32])
def test_bilinear_upsampler_is_bilinear_interpolation(stride: int) -> None:
    layer = bilinear_upsampler(3, 2 * stride, stride=stride).double()
    features = random_map(2, 3, 5, 6)
    enlarged = layer(features)
    assert enlarged.shape[2:] == (4 * stride + 2 * stride, 5 * stride + 2 * stride)
    # Half a kernel of either side belongs to the pixels beyond the border, which count as 0; from
    # the first pixel's centre to the last's the two agree.
    half = stride // 2
    expected = resize(features, (5 * stride, 6 * stride), align_corners=False)
    inner = enlarged[:, :, half:-half, half:-half][:, :, half:-half, half:-half]
    torch.testing.assert_close(inner, expected[:, :, half:-half, half:-half])


@pytest.mark.parametrize("stride", [2, 3, 32])
def test_odd_bilinear_kernel_keeps_the_pixels(stride: int) -> None:
    # Kernel 2s - 1 is centred on a pixel: with corners aligned, every s-th pixel is the map's own.
    layer = bilinear_upsampler(2, 2 * stride - 1, stride=stride).double()
    features = random_map(2, 2, 4, 5)
    enlarged = layer(features)[:, :, stride - 1 : -stride + 1, stride - 1 : -stride + 1]
    expected = resize(features, (3 * stride + 1, 4 * stride + 1), align_corners=True)
    torch.testing.assert_close(enlarged, expected, rtol=1e-5, atol=1e-6)  # kernel in float32
    torch.testing.assert_close(enlarged[:, :, ::stride, ::stride], features)


def test_bilinear_upsampler_keeps_channels_apart_and_does_not_learn() -> None:
    layer = bilinear_upsampler(3, 4, stride=2)
    assert layer.weight.shape == (3, 3, 4, 4)
    assert layer.bias is None
    assert not layer.weight.requires_grad
    off_diagonal = layer.weight[~torch.eye(3, dtype=torch.bool)]
    assert not off_diagonal.any()


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 3), (1, 1)])
def test_pooling_remembers_places_by_brute_force(size: tuple[int, int]) -> None:
    features = random_map(2, 3, *size)
    pooled, indices = pool_with_indices(features)
    height, width = size
    assert pooled.shape == indices.shape == (2, 3, -(-height // 2), -(-width // 2))
    restored = unpool(pooled, indices, size)
    expected = torch.zeros_like(features)
    for image, channel, row, column in torch.cartesian_prod(
        torch.arange(2),
        torch.arange(3),
        torch.arange(pooled.shape[2]),
        torch.arange(pooled.shape[3]),
    ).tolist():
        window = features[image, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert pooled[image, channel, row, column] == window.max()
        place = (window == window.max()).nonzero()[0]
        expected[image, channel, 2 * row + place[0], 2 * column + place[1]] = window.max()
    assert torch.equal(restored, expected)


def test_pooling_undoes_unpooling() -> None:
    values = random_map(2, 3, 3, 4).abs()
    _, indices = pool_with_indices(random_map(2, 3, 5, 8))
    again, places = pool_with_indices(unpool(values, indices, (5, 8)))
    assert torch.equal(again, values)
    assert torch.equal(places, indices)


@pytest.mark.parametrize("factor", [2, 3])
def test_pixel_shuffle_after_a_convolution_is_a_transposed_convolution(factor: int) -> None:
    # Output pixel (factor * y + dy, ...) reads the 3x3 around y with the kernel of its phase dy:
    # one transposed kernel of side 3 * factor holds the kernels of all phases, backwards.
    convolve = nn.Conv2d(4, 5 * factor**2, 3, padding=1, bias=False).double()
    features = random_map(2, 4, 6, 7)
    shuffled = nn.PixelShuffle(factor)(convolve(features))
    phases = convolve.weight.reshape(5, factor, factor, 4, 3, 3).flip(4, 5)
    # (K, dy, dx, C, ky, kx) -> (C, K, ky * factor + dy, kx * factor + dx)
    kernel = phases.permute(3, 0, 4, 1, 5, 2).reshape(4, 5, 3 * factor, 3 * factor)
    transposed = F.conv_transpose2d(features, kernel, stride=factor, padding=factor)
    torch.testing.assert_close(transposed, shuffled)
