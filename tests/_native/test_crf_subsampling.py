"""Updates of the compiled dense CRF that compute every other pixel of a block."""

import functools
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


def likeness(marginals):
    """How far each block is from having two alike colours of its chessboard, (rows, columns).

    Above 0: a fifth of the label's lead, on average over pixels and less a tenth, is more than the
    largest difference of a label's sums over the colours of a window of 2 x 4 pixels.
    """
    height, width = marginals.shape[1:]
    rows, columns = (math.ceil(n / size) for n, size in zip((height, width), BLOCK, strict=True))
    result = torch.full((rows, columns), -math.inf, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    signs = 1.0 - 2.0 * ((x + y) % 2)
    for row, column in itertools.product(range(height // 2), range(columns)):
        left, right = 16 * column, min(16 * column + 16, width)
        difference, lead = 0.0, 0.0
        for start in range(left, right, 4):
            place = (slice(2 * row, 2 * row + 2), slice(start, min(start + 4, width)))
            window = marginals[:, place[0], place[1]].double()
            signed = (window * signs[place]).sum((1, 2)).abs().max().item() / 4
            best = window.sum((1, 2)).sort(descending=True).values
            difference = max(difference, signed)
            lead += (best[0] - best[1]).item()
        result[row, column] = 0.2 * (lead / (2 * (right - left)) - 0.1) - difference
    return result


def subsampled_blocks(logits, image, *, above, **settings):
    """Where an update computes half of the pixels, one value a block."""
    is_alike = likeness(logits.double().softmax(0))
    assert is_alike.abs().min() > 1e-6  # float32 decides alike
    return (block_sums(image, **settings) > above) & (is_alike > 0)


def subsampled_reference(logits, image, *, above, num_iterations, compatibility=None, **settings):
    """Mean field in float64 with filters that see marginals times 0, 1 or 2."""
    height, width = image.shape[1:]
    is_half = subsampled_blocks(logits, image, above=above, **settings)
    is_half = is_half.repeat_interleave(2, 0)[:height].repeat_interleave(16, 1)[:, :width]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    terms = terms_of(image, dtype=torch.float64, **settings)
    scores = logits.double().flatten(1)
    marginals = scores.softmax(0)
    for number in range(num_iterations):
        counts = torch.where(is_half, 2.0 * ((x + y) % 2 == number % 2), 1.0).flatten().double()
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


def smooth_case(num_classes, height, width, *, seed=0):
    """Scores that change little from pixel to pixel, next to none in the left half."""
    logits, image = random_case(num_classes, height, width, seed=seed)
    coarse = logits[None, :, ::4, ::4]
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    smooth[0] += 1.0
    smooth[:, :, width // 2 :] += 0.25 * logits[:, :, width // 2 :]
    return smooth.contiguous(), image


NAMED = {"readme": README, "deeplab": DEEPLAB}


@functools.cache
def some_blocks_subsampled(name, mode, size):
    """Compute once for all instruction sets: threshold, marginals, and those of all pixels."""
    logits, image = smooth_case(*size)
    settings = {**NAMED[name], "mode": mode, "num_iterations": 4}
    above = threshold_of(image, **settings)
    is_half = subsampled_blocks(logits, image, above=above, **settings)
    assert 0 < is_half.sum() < (block_sums(image, **settings) > above).sum()  # of either kind
    subsampled = subsampled_reference(logits, image, above=above, **settings)
    return settings, above, subsampled, reference(logits, image, **settings)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("size", [(5, 23, 37), (19, 16, 33), (2, 10, 70), (3, 8, 48)])
def test_every_other_pixel_stands_for_two(isa, mode, name, size):
    logits, image = smooth_case(*size)
    settings, above, expected, everywhere = some_blocks_subsampled(name, mode, size)
    got = native_marginals(logits, image, isa=isa, subsample_above=above, **settings)
    assert (got - expected).abs().max() < TOLERANCE
    assert torch.allclose(got.sum(0), torch.ones_like(got[0]), atol=1e-5)
    # It is not what computing all of them gives.
    assert (got - everywhere).abs().max() > 1e-4


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("size", [(3, 9, 20), (3, 1, 40), (4, 40, 1), (2, 2, 2)])
@pytest.mark.parametrize("num_iterations", [0, 1, 2])
def test_all_blocks(isa, size, num_iterations):
    logits, image = smooth_case(*size)
    settings = {**README, "num_iterations": num_iterations}
    got = native_marginals(logits, image, isa=isa, subsample_above=0.0, **settings)
    expected = subsampled_reference(logits, image, above=0.0, **settings)
    assert (got - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("normalisation", ["symmetric", "before", "after"])
def test_several_kernels_class_weights_and_compatibility(isa, normalisation):
    """A block is subsampled where all bilateral kernels are dense."""
    logits, image = smooth_case(6, 16, 48)
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
    logits, image = smooth_case(4, 20, 40)
    settings = {**README, **changes}
    everything = native_marginals(logits, image, **settings)
    assert torch.equal(everything, native_marginals(logits, image, subsample_above=0.0, **settings))
    half = native_marginals(logits, image, **README, subsample_above=0.0)
    assert not torch.equal(half, native_marginals(logits, image, **README))


def test_repeatable_and_threads_change_no_more_than_rounding():
    logits, image = smooth_case(5, 61, 45)
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


FLAT = torch.full((3, 48, 80), 90, dtype=torch.uint8)
ROW, COLUMN = torch.meshgrid(torch.arange(48), torch.arange(80), indexing="ij")
LARGE = {
    "readme": {"bilateral": [(10.0, 80.0, 13.0)], "spatial": [(3.0, 3.0)]},
    "deeplab": {"bilateral": [(4.0, 67.0, 3.0)], "spatial": [(3.0, 1.0)]},
}


def pattern(is_first, strength):
    """Scores of four labels of which two take turns."""
    scores = torch.full((4, *is_first.shape), -9.0)
    scores[0] = torch.where(is_first, strength, 0.0)
    scores[1] = torch.where(is_first, 0.0, strength)
    return scores


def noise(num_classes, strength):
    generator = torch.Generator().manual_seed(0)
    return strength * torch.randn(num_classes, 48, 80, generator=generator)


UNLIKE = {
    **{f"noise {k} {s}": noise(k, s) for k in (2, 8) for s in (0.01, 0.1, 0.5, 1.0, 4.0, 30.0)},
    **{f"chessboard {s}": pattern((ROW + COLUMN) % 2 == 0, s) for s in (0.1, 1.0, 4.0)},
    **{f"rows {s}": pattern(ROW % 2 == 0, s) for s in (0.1, 1.0, 4.0)},
    **{f"columns {s}": pattern(COLUMN % 2 == 0, s) for s in (0.1, 1.0, 4.0)},
    **{f"squares {s}": pattern((ROW // 2 + COLUMN // 2) % 2 == 0, s) for s in (0.1, 1.0, 4.0)},
    "chessboard in a half": pattern(((ROW + COLUMN) % 2 == 0) & (COLUMN < 37), 4.0),
    "noise on a leading label": noise(3, 1.0) + pattern(ROW < 99, 2.0)[:3].clamp(min=0),
    "noise in a half": noise(4, 2.0) * (COLUMN < 37) + pattern(COLUMN < 37, 4.0),
}


@pytest.mark.parametrize("num_iterations", [5, 10])
@pytest.mark.parametrize("settings", LARGE)
@pytest.mark.parametrize("name", UNLIKE)
def test_pixels_that_do_not_speak_for_their_neighbours_are_all_computed(
    name, settings, num_iterations
):
    """One colour has many pixels alike for every pixel, whatever the scores are.

    Taking every other pixel all the same was wrong by 0.12 on average at chessboards, and by 0.01
    at noise, or wherever two labels are nearly as likely as each other.
    """
    given = {**LARGE[settings], "num_iterations": num_iterations}
    everything = native_marginals(UNLIKE[name], FLAT, **given)
    half = native_marginals(UNLIKE[name], FLAT, subsample_above=100.0, **given)
    assert (half - everything).abs().mean() < 1e-3


@pytest.mark.parametrize("spatial_xy_std", [1.0, 3.0])
def test_two_flat_halves_hardly_move(spatial_xy_std):
    labels = (COLUMN >= 43).long()
    image = (60 + 120 * labels).expand(3, -1, -1).contiguous().to(torch.uint8)
    coarse = noise(4, 1.0)[None, :, ::8, ::8]
    scores = torch.nn.functional.interpolate(coarse, size=(48, 80), mode="bilinear")[0]
    scores = (scores + pattern(labels == 0, 2.0).clamp(min=0)).contiguous()
    # Weak terms, which leave the labels uncertain.
    given = {"bilateral": [(0.8, 80.0, 13.0)], "spatial": [(0.4, spatial_xy_std)]}
    given |= {"num_iterations": 5}
    everything = native_marginals(scores, image, **given)
    half = native_marginals(scores, image, subsample_above=100.0, **given)
    difference = (half - everything).abs()
    assert difference.mean() < 1e-4
    assert difference.max() > 1e-6  # something was subsampled
    assert torch.equal(half.argmax(0), everything.argmax(0))
