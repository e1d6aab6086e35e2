"""Updates of the compiled dense CRF that pass over settled pixels."""

import itertools

import pytest
import torch

from autoseg._native import core
from tests._native.test_crf import DEEPLAB, ISAS, README, random_case, reference, several_kernels

if core() is None:
    pytest.skip("the compiled kernels are missing", allow_module_level=True)

from autoseg.crf.native import native_marginals

# Marginals are kept in 65535ths. A message is a weighted mean of them, and no score's odds change
# by more than twice what the messages do: some units for each update.
QUANTISATION = 1.5e-4


def piecewise_case(num_classes, height, width, *, seed=0):
    """Regions of a colour with noise, each with a likely class: most of it settles at once."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    labels = (x * num_classes // width + (y > height // 2)) % num_classes
    colours = 60 + 150 * torch.rand(3, num_classes, generator=generator)
    image = colours[:, labels] + 4 * torch.randn(3, height, width, generator=generator)
    logits = 3.0 * torch.nn.functional.one_hot(labels, num_classes).permute(2, 0, 1)
    noise = torch.randn(num_classes, height, width, generator=generator)
    return (logits + noise).contiguous(), image.clamp(0, 255).round()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("settings", [README, DEEPLAB], ids=["readme", "deeplab"])
@pytest.mark.parametrize("size", [(5, 23, 37), (19, 16, 33), (2, 9, 70), (3, 1, 40), (4, 40, 1)])
def test_handing_over_differences_changes_nothing(isa, mode, settings, size):
    # With this tolerance hardly a pixel settles.
    logits, image = random_case(*size)
    settings = {**settings, "mode": mode, "num_iterations": 4}
    got = native_marginals(logits, image, isa=isa, skip_tolerance=1e-6, **settings)
    assert (got - reference(logits, image, **settings)).abs().max() < QUANTISATION
    assert torch.allclose(got.sum(0), torch.ones_like(got[0]), atol=1e-5)
    assert got.min() > 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("normalisation", ["symmetric", "before", "after", "none"])
def test_several_kernels_class_weights_and_compatibility(isa, normalisation):
    logits, image = random_case(6, 15, 21)
    settings, mu = several_kernels(normalisation, num_iterations=4)
    for changes in ({}, {"compatibility": mu}, {"bilateral": []}, {"spatial": []}):
        given = {**settings, **changes}
        got = native_marginals(logits, image, isa=isa, skip_tolerance=1e-6, **given)
        assert (got - reference(logits, image, **given)).abs().max() < QUANTISATION


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("spatial_std", [1.0, 3.0])
@pytest.mark.parametrize("skip_tolerance", [0.3, 0.05, 0.005])
def test_what_is_passed_over_stays_within_the_bound(isa, mode, spatial_std, skip_tolerance):
    """Against the error that the tolerance can lead to when messages contract.

    Divided by its row sums afterwards, a filter's rows sum to 1: messages differ by at most w =
    w_1 + w_2 times the largest difference e of the marginals, and marginals by at most half of
    that, as q (1 - q) <= 1/4 and a score counts against all others. What an update passes over is
    wrong by t at most, so that e <= t + w / 2 e, and the last update makes t / 32 + w / 2 e of it.
    """
    logits, image = piecewise_case(4, 41, 67)
    weights = (0.7, 0.4)
    settings = {
        "bilateral": [(weights[0], 12.0, 15.0)],
        "spatial": [(weights[1], spatial_std)],
        "normalisation": "after",
        "num_iterations": 7,
        "mode": mode,
    }
    expected = reference(logits, image, **settings)
    got = native_marginals(logits, image, isa=isa, skip_tolerance=skip_tolerance, **settings)
    half = sum(weights) / 2
    bound = skip_tolerance / 32 + half * skip_tolerance / (1 - half)
    difference = (got - expected).abs().max()
    assert difference < bound + QUANTISATION
    # Something was passed over: all computed, they agree to float32 rounding.
    assert difference > 1e-6


@pytest.mark.parametrize("isa", ISAS)
def test_a_loose_tolerance_leaves_settled_pixels_alone(isa):
    """Nothing is computed after the first update if marginals may differ by anything."""
    logits, image = piecewise_case(3, 24, 48)
    settings = {**README, "num_iterations": 6}
    got = native_marginals(logits, image, isa=isa, skip_tolerance=1e9, **settings)
    first = reference(logits, image, **{**README, "num_iterations": 1})
    assert (got - first).abs().max() < 5e-5  # 16 bits
    assert (got - reference(logits, image, **settings)).abs().max() > 0.01


@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("settings", [README, DEEPLAB], ids=["readme", "deeplab"])
def test_repeatable_and_threads_change_no_more_than_the_tolerance_allows(mode, settings):
    logits, image = piecewise_case(5, 61, 45)
    settings = {**settings, "num_iterations": 6, "mode": mode, "skip_tolerance": 0.01}
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
        assert (one - other).abs().max() < 0.01
        assert (one - other).abs().mean() < 1e-5


def test_an_early_stop_computes_every_pixel():
    logits, image = piecewise_case(4, 31, 45)
    settings = {**README, "num_iterations": 6, "tolerance": 1e-9}
    exact = native_marginals(logits, image, **settings)
    assert torch.equal(exact, native_marginals(logits, image, skip_tolerance=0.1, **settings))
