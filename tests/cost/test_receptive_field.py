"""Receptive fields: what can be seen, against the closed form for chains and against NaN that is
let through; what is seen, against a normal law and gradients worked by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.cost import effective_field, effective_side, theoretical_field
from autoseg.cost.reach import reached_pixels
from autoseg.cost.receptive_field import EFFECTIVE_SHARE


def chain(*layers):
    """Convolutions of (kernel, stride, dilation), padded to keep the centre."""
    channels = [3, *[2] * len(layers)]
    return nn.Sequential(
        *(
            nn.Conv2d(a, 2, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation)
            for a, (kernel, stride, dilation) in zip(channels, layers, strict=False)
        )
    )


@pytest.mark.parametrize(
    "layers",
    [
        [(3, 1, 1)],
        [(3, 2, 1), (3, 1, 1), (5, 2, 1)],
        [(7, 2, 1), (3, 1, 2), (3, 1, 4), (3, 2, 1), (3, 1, 8)],
        [(3, 1, 1), (1, 2, 1), (3, 1, 6)],
    ],
)
def test_a_chain_of_convolutions_sees_what_the_recursion_says(layers):
    # Araujo et al. 2019, equation 2: 1 + sum of (kernel - 1) * dilation * strides before it. Rates
    # above 1 leave holes, not a smaller box.
    strides = [math.prod(stride for _, stride, _ in layers[:n]) for n in range(len(layers))]
    side = 1 + sum((k - 1) * d * s for (k, _, d), s in zip(layers, strides, strict=True))
    field = theoretical_field(chain(*layers), (256, 320))
    assert (field.height, field.width) == (side, side)
    top, left, bottom, right = field.box
    assert (bottom - top, right - left) == (side, side)
    # An image that the field does not fit into cuts it, and a rate may take its taps beyond it.
    small = theoretical_field(chain(*layers), (16, 16))
    assert (small.height, small.width) == (side, side)
    top, left, bottom, right = small.box
    assert 0 <= top < bottom <= 16 and 0 <= left < right <= 16


class Mixed(nn.Module):
    """A skip, pooling with indices, resizing, a rate, a transposed convolution, norms."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.far = nn.Conv2d(4, 4, 3, padding=5, dilation=5, groups=2)
        self.up = nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1)
        self.last = nn.Conv2d(12, 5, (1, 3), padding=(0, 1))

    def forward(self, images):
        fine = self.first(images)
        pooled, indices = F.max_pool2d(fine, 2, return_indices=True)
        far = self.far(pooled)
        unpooled = F.max_unpool2d(far.clamp(min=0.1), indices, 2)
        resized = F.interpolate(far, scale_factor=2, mode="bilinear")
        return self.last(torch.cat([fine, self.up(far) + resized, unpooled], dim=1))


def test_what_is_reached_is_where_a_nan_comes_through():
    torch.manual_seed(0)
    network, (height, width) = Mixed().eval().double(), (20, 24)
    seen = torch.zeros(height, width, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(6):  # an unpooled value lands where the largest of its window was
            image = torch.randn(1, 3, height, width, dtype=torch.float64)
            images = image.expand(height * width, -1, -1, -1).clone()
            for number in range(height * width):
                images[number, :, number // width, number % width] = math.nan
            centre = network(images)[:, :, height // 2, width // 2]
            seen |= centre.isnan().any(1).view(height, width)
    reached = reached_pixels(network.float(), (height, width))
    assert torch.equal(reached.mask & seen, seen)  # nothing that comes through is left out
    # Of the unpooled maps a pixel reads the whole window that it was in, whichever was largest.
    assert (reached.mask & ~seen).sum() <= 0.1 * seen.sum()
    assert reached.unknown == ()


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.AdaptiveAvgPool2d((1, 1)), "whole image"),
        (nn.AdaptiveAvgPool2d((None, 1)), "1 x whole width"),
        (nn.GroupNorm(1, 3), "whole image"),
        (nn.BatchNorm2d(3), "1 x 1"),
        (nn.Conv2d(3, 2, (5, 3), padding=(2, 1)), "5 x 3"),
    ],
)
def test_what_has_no_bounds_is_called_so(layer, text):
    assert str(theoretical_field(layer, (40, 48))) == text


class Fourier(nn.Module):
    def forward(self, images):
        return torch.fft.fft2(images).real


def test_an_operator_without_a_rule_reads_everything_and_is_named():
    field = theoretical_field(Fourier(), (16, 16), device="cpu")
    assert str(field) == "whole image"
    assert field.unknown == ("aten._fft_c2c",)


def test_what_gives_no_map_is_refused():
    with pytest.raises(ValueError, match=r"Sequential gives shape \(1, 48\); expected logits"):
        theoretical_field(nn.Sequential(nn.Flatten()), (4, 4))


def test_a_linear_chain_of_means_has_the_field_of_a_normal_law():
    num_layers, kernel = 20, 5
    chain = nn.Sequential(
        *(nn.Conv2d(1, 1, kernel, padding=kernel // 2, bias=False) for _ in range(num_layers))
    ).double()
    for parameter in chain.parameters():
        nn.init.constant_(parameter, 1 / kernel**2)
    field = effective_field(chain, torch.zeros(2, 1, 141, 141).double(), size=(141, 141))
    # Variances of uniform steps, (k^2 - 1) / 12 each, add up; the area above a share is a disc's.
    variance = num_layers * (kernel**2 - 1) / 12
    squares = (torch.arange(141.0) - 70) ** 2
    assert (field.sum(0) * squares).sum().item() == pytest.approx(variance)
    expected = math.sqrt(2 * math.pi * variance * math.log(1 / EFFECTIVE_SHARE))
    assert effective_side(field) == pytest.approx(expected, rel=0.01)


def test_the_gradient_is_that_of_the_predicted_class_and_smaller_images_lie_in_the_centre():
    network = nn.Conv2d(2, 2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, -4.0], [1.0, 1.0]])[..., None, None])
    first, second = torch.ones(2, 4, 6), torch.tensor([1.0, -1.0])[:, None, None].expand(2, 2, 2)
    field = effective_field(network, [first, second], size=(4, 6))
    expected = torch.zeros(4, 6, dtype=torch.float64)
    expected[2, 3] = (2 + 7) / 2  # class 1 is ahead in the first image, class 0 in the second
    torch.testing.assert_close(field, expected)
    assert network.weight.grad is None and effective_side(field) == 1
    assert effective_side(torch.zeros(4, 6)) == 0


@pytest.mark.parametrize(
    ("network", "images", "error", "message"),
    [
        (nn.Identity(), [], ValueError, "no image; it is a mean over one or more"),
        (
            nn.Identity(),
            [torch.ones(3, 4, 7)],
            ValueError,
            r"has 4 x 7 pixels, more than the 4 x 6",
        ),
        (nn.Flatten(), [torch.ones(3, 4, 6)], ValueError, r"Flatten gives shape \(1, 72\)"),
        (
            nn.BatchNorm2d(3, eps=math.nan).eval(),
            [torch.ones(3, 4, 6)],
            RuntimeError,
            "BatchNorm2d at the image is not finite",
        ),
    ],
)
def test_what_has_no_field_is_refused(network, images, error, message):
    with pytest.raises(error, match=message):
        effective_field(network, images, size=(4, 6))
