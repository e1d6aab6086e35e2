"""Predictions over scales and mirror images against the same sums in float64 numpy."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.evaluation import best_class, predict_logits

Array = NDArray[np.float64]


class LeftHeavy(nn.Module):
    """A small network that is not symmetric, so that a forgotten mirroring back shows."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, num_classes, 3, padding=1)
        nn.init.normal_(self.convolution.weight, generator=torch.Generator().manual_seed(0))
        self.seen_sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen_sizes.append(tuple(images.shape[2:]))
        return self.convolution(images)


def resize_matrix(old: int, new: int, *, antialias: bool) -> Array:
    """Weights (new, old) of bilinear resizing with half-pixel centres."""
    ratio = old / new
    width = max(1.0, ratio) if antialias else 1.0
    distance = np.arange(old)[None] + 0.5 - (np.arange(new)[:, None] + 0.5) * ratio
    weights = np.maximum(0, 1 - np.abs(distance) / width)
    return weights / weights.sum(1, keepdims=True)


def resize(maps: Array, size: tuple[int, int], *, antialias: bool) -> Array:
    if maps.shape[2:] == size:
        return maps
    rows = resize_matrix(maps.shape[2], size[0], antialias=antialias)
    columns = resize_matrix(maps.shape[3], size[1], antialias=antialias)
    return np.einsum("ih,jw,nchw->ncij", rows, columns, maps)


def mean_probability(network: nn.Module, images: Array, scales: list[float], flip: bool) -> Array:
    size = images.shape[2:]
    assert len(size) == 2
    probabilities = []
    for scale in scales:
        view = resize(images, (round(scale * size[0]), round(scale * size[1])), antialias=True)
        for is_mirrored in (False, True) if flip else (False,):
            seen = view[..., ::-1] if is_mirrored else view
            logits = network(torch.from_numpy(seen.copy())).detach().numpy()
            logits = resize(logits, size, antialias=False)
            logits = logits[..., ::-1] if is_mirrored else logits
            weights = np.exp(logits - logits.max(1, keepdims=True))
            probabilities.append(weights / weights.sum(1, keepdims=True))
    return np.mean(probabilities, axis=0)


@pytest.mark.parametrize(
    ("scales", "flip"),
    [([1.0], True), ([0.5], False), ([2.0], False), ([0.5, 1.0, 1.25], False), ([0.75, 1.6], True)],
)
def test_the_mean_probability_equals_float64_numpy(scales: list[float], flip: bool) -> None:
    network = LeftHeavy().double().eval()
    images = np.random.default_rng(1).normal(size=(2, 3, 8, 11))
    logits = predict_logits(network, torch.from_numpy(images), scales=scales, flip=flip)
    expected = mean_probability(network, images, scales, flip)
    # Float64 on both sides, sums of at most 100 terms of order 1. torch computes resizing weights
    # of float64 maps in float64.
    np.testing.assert_allclose(logits.softmax(1).detach().numpy(), expected, rtol=0, atol=1e-12)
    # The result is already normalised: its exponential sums to 1 over the classes.
    np.testing.assert_allclose(logits.exp().detach().numpy(), expected, rtol=0, atol=1e-12)


def test_one_scale_without_flip_returns_the_networks_own_logits() -> None:
    network = LeftHeavy().eval()
    images = torch.randn(1, 3, 5, 7, generator=torch.Generator().manual_seed(2))
    assert torch.equal(predict_logits(network, images), network(images))
    assert predict_logits(nn.Identity().eval(), images) is images


def test_views_have_rounded_sizes_and_are_each_seen_once() -> None:
    network = LeftHeavy().eval()
    predict_logits(network, torch.zeros(1, 3, 5, 7), scales=(0.75, 2), flip=True)
    assert network.seen_sizes == [(4, 5), (4, 5), (10, 14), (10, 14)]


def test_a_probability_below_float32_keeps_a_finite_logarithm() -> None:
    class Sure(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([images[:, 0] * 0, images[:, 0] * 0 - 200], dim=1)

    logits = predict_logits(Sure().eval(), torch.zeros(1, 3, 2, 2), flip=True)
    # exp(-200) is 1e-87, far below float32's smallest number.
    torch.testing.assert_close(logits[:, 1], torch.full((1, 2, 2), -200.0))


def test_training_mode_is_refused() -> None:
    with pytest.raises(RuntimeError) as error:
        predict_logits(LeftHeavy(), torch.zeros(1, 3, 4, 4))
    assert "LeftHeavy is in training mode" in str(error.value)
    assert "call network.eval() first" in str(error.value)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ((), "scales is empty"),
        ((1.0, 0.0), "scale 0.0 leaves no pixel of images (4, 6)"),
        ((-1.0,), "scale -1.0 leaves no pixel"),
        ((0.1,), "scale 0.1 leaves no pixel"),
        ((math.nan,), "scale nan leaves no pixel"),
        ((math.inf,), "scale inf leaves no pixel"),
    ],
)
def test_bad_scales_are_named(scales: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError) as error:
        predict_logits(LeftHeavy().eval(), torch.zeros(1, 3, 4, 6), scales=scales)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 4, 4), "images are torch.float32 (3, 4, 4); expected normalised float"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "images are torch.uint8 (1, 3, 4, 4)"),
    ],
)
def test_bad_images_are_named(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError) as error:
        predict_logits(LeftHeavy().eval(), images)
    assert message in str(error.value)


def test_an_output_at_another_size_is_named() -> None:
    network = nn.Conv2d(3, 2, 3, stride=2, padding=1).eval()
    with pytest.raises(ValueError) as error:
        predict_logits(network, torch.zeros(1, 3, 8, 6))
    assert "Conv2d maps images (1, 3, 8, 6) to logits (1, 2, 4, 3)" in str(error.value)


def test_an_output_that_is_no_tensor_is_named() -> None:
    class Pair(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, images

    with pytest.raises(ValueError, match="Pair returned tuple in eval mode; expected one tensor"):
        predict_logits(Pair().eval(), torch.zeros(1, 3, 4, 4))


def test_the_best_class_is_that_of_argmax_ties_included():
    scores = torch.randint(3, (2, 5, 6, 7), generator=torch.Generator().manual_seed(0))
    expected = np.argmax(scores.numpy(), axis=1)  # NumPy's rule: the first of equal ones
    assert best_class(scores.float()).tolist() == expected.tolist()
