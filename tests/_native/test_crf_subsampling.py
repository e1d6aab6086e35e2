"""Updates of the compiled dense CRF that compute every other pixel of a block."""

import itertools
import math

import pytest
import torch

from autoseg._native import core
from autoseg.crf.permutohedral import PermutohedralFilter

if core() is None:
    pytest.skip("the compiled kernels are missing", allow_module_level=True)

from tests._native.test_crf import (
    DEEPLAB,
    ISAS,
    README,
    TOLERANCE,
    bilateral_features,
    native_marginals,
    random_case,
    reference,
    several_kernels,
    terms_of,
)

BLOCK = (2, 16)


def block_sums(image, *, bilateral, mode="fast", **_):
    """The smallest row sum of any bilateral kernel in each block, float64, (rows, columns)."""
    height, width = image.shape[1:]
    ones = torch.ones(height * width, 1, dtype=torch.float64)
    rows, columns = (math.ceil(n / size) for n, size in zip((height, width), BLOCK, strict=True))
    least = torch.full((rows, columns), math.inf, dtype=torch.float64)
    for _, xy_std, rgb_std in bilateral:
        features = bilateral_features(image, xy_std, rgb_std)
        kernel = PermutohedralFilter(features, dtype=torch.float64, closed=mode == "accurate")
        sums = kernel.product(ones).view(height, width)
        for y, x in itertools.product(range(rows), range(columns)):
            block = sums[2 * y : 2 * y + 2, 16 * x : 16 * x + 16]
            least[y, x] = min(least[y, x], block.min())
    return least


def subsampled_reference(logits, image, *, above, num_iterations, compatibility=None, **settings):
    """Mean field in float64 with filters that see marginals times 0, 1 or 2."""
    height, width = image.shape[1:]
    is_dense = block_sums(image, **settings) > above
    is_dense = is_dense.repeat_interleave(2, 0)[:height].repeat_interleave(16, 1)[:, :width]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    is_dense = is_dense & (y < height // 2 * 2)  # a last row without a partner
    terms = terms_of(image, dtype=torch.float64, **settings)
    scores = logits.double().flatten(1)
    marginals = scores.softmax(0)
    for number in range(num_iterations):
        counts = torch.where(is_dense, 2.0 * ((x + y) % 2 == number % 2), 1.0).flatten().double()
        handed_over = (marginals * counts).t().contiguous()
        sums = sum(weight * kernel.product(handed_over) for weight, kernel in terms).t()
        messages = sums if compatibility is None else -(compatibility.double() @ sums)
        marginals = (scores + messages).softmax(0)
    return marginals.view_as(logits)


def threshold_of(image, **settings):
    """A row sum that about half of the blocks exceed, and none is near."""
    values = block_sums(image, **settings).flatten().sort().values
    gaps = values[1:] / values[:-1]
    middle = len(gaps) // 4
    place = middle + int(gaps[middle : 3 * middle + 1].argmax())
    assert gaps[place] > 1.001  # float32 decides alike
    return float((values[place] * values[place + 1]).sqrt())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("settings", [README, DEEPLAB], ids=["readme", "deeplab"])
@pytest.mark.parametrize("size", [(5, 23, 37), (19, 16, 33), (2, 10, 70), (3, 8, 48)])
def test_every_other_pixel_stands_for_two(isa, mode, settings, size):
    logits, image = random_case(*size)
    settings = {**settings, "mode": mode, "num_iterations": 4}
    above = threshold_of(image, **settings)
    got = native_marginals(logits, image, isa=isa, subsample_above=above, **settings)
    expected = subsampled_reference(logits, image, above=above, **settings)
    assert (got - expected).abs().max() < TOLERANCE
    assert torch.allclose(got.sum(0), torch.ones_like(got[0]), atol=1e-5)
    # It is not what computing all of them gives.
    assert (got - reference(logits, image, **settings)).abs().max() > 1e-3


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("size", [(3, 9, 20), (3, 1, 40), (4, 40, 1), (2, 2, 2)])
@pytest.mark.parametrize("num_iterations", [0, 1, 2])
def test_all_blocks(isa, size, num_iterations):
    logits, image = random_case(*size)
    settings = {**README, "num_iterations": num_iterations}
    got = native_marginals(logits, image, isa=isa, subsample_above=0.0, **settings)
    expected = subsampled_reference(logits, image, above=0.0, **settings)
    assert (got - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("normalisation", ["symmetric", "before", "after"])
def test_several_kernels_class_weights_and_compatibility(isa, normalisation):
    """A block is subsampled where all bilateral kernels are dense."""
    logits, image = random_case(6, 16, 48)
    settings, mu = several_kernels(normalisation, num_iterations=4)
    above = threshold_of(image, **settings)
    for changes in ({}, {"compatibility": mu}, {"spatial": []}):
        given = {**settings, **changes}
        got = native_marginals(logits, image, isa=isa, subsample_above=above, **given)
        expected = subsampled_reference(logits, image, above=above, **given)
        assert (got - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    "changes",
    [
        {"tolerance": 1e-9},
        {"normalisation": "none", "bilateral": [(0.05, 20.0, 13.0)], "spatial": [(0.05, 3.0)]},
        {"bilateral": []},
        {"spatial": [(3.0, 0.9)]},
    ],
    ids=["early stop", "no normalisation", "no bilateral kernel", "narrow spatial kernel"],
)
def test_all_pixels_are_computed(changes):
    logits, image = random_case(4, 20, 40)
    settings = {**README, **changes}
    everything = native_marginals(logits, image, **settings)
    assert torch.equal(everything, native_marginals(logits, image, subsample_above=0.0, **settings))


def test_repeatable_and_threads_change_no_more_than_rounding():
    logits, image = random_case(5, 61, 45)
    above = threshold_of(image, **README)
    settings = {**README, "num_iterations": 6, "subsample_above": above}
    before = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3, 7):
            torch.set_num_threads(num_threads)
            results.append(native_marginals(logits, image, **settings))
            assert torch.equal(results[-1], native_marginals(logits, image, **settings))
    finally:
        torch.set_num_threads(before)
    for one, other in itertools.combinations(results, 2):
        assert (one - other).abs().max() < TOLERANCE


def test_dense_regions_hardly_move():
    """Two flat regions: half of the pixels say what all say, but next to the border."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(96) >= 48).long().expand(64, 96)
    image = (60 + 120.0 * labels).expand(3, 64, 96) + torch.randn(3, 64, 96, generator=generator)
    logits = torch.randn(2, 64, 96, generator=generator)
    logits += 2.0 * torch.nn.functional.one_hot(labels, 2).permute(2, 0, 1)
    image = image.round().contiguous()
    settings = {**README, "num_iterations": 5}
    everything = native_marginals(logits, image, **settings)
    half = native_marginals(logits, image, subsample_above=100.0, **settings)
    difference = (half - everything).abs()
    assert difference.mean() < 1e-3
    assert difference.max() > 1e-6  # something was subsampled
    assert torch.equal(half.argmax(0), everything.argmax(0))
