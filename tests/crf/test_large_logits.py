"""What is added to all labels of a pixel changes nothing, in every mode and back end."""

import pytest
import torch

from autoseg._native import core
from autoseg.crf import DenseCRF
from tests.crf.large_logits import CASES, IDS
from tests.crf.reference import settings_with

# Not whole: between two simplices, rounding decides which lattice points exist.
SETTINGS = settings_with(bilateral_xy_std=4.1, bilateral_rgb_std=41.3, num_iterations=3)
# Messages of a few units in float32, through three updates, at pixels between tied labels. The
# scores themselves add nothing to it, however large: their differences are exact.
TOLERANCE = 1e-5
MEANS = [(mode, "torch") for mode in ("fast", "accurate", "exact", "local")]
if core() is not None:
    MEANS += [("fast", "fused"), ("accurate", "fused")]


@pytest.mark.parametrize(("draw", "number"), CASES, ids=IDS)
@pytest.mark.parametrize(("mode", "backend"), MEANS)
@pytest.mark.parametrize("changes", [{}, {"compatibility": [[0, 1, 2, 1], [1, 0, 1, 3]] * 2}])
def test_marginals_are_those_of_small_logits(draw, number, mode, backend, changes):
    scores, logits, images = draw(number)
    crf = DenseCRF(**SETTINGS | changes, mode=mode, backend=backend)
    expected = DenseCRF(**SETTINGS | changes, mode=mode, backend="torch").double()(scores, images)

    with torch.no_grad():
        marginals = crf(logits, images)

    assert (marginals - expected).abs().max() < TOLERANCE
    assert (expected - scores.softmax(dim=1)).abs().max() > 0.05  # there was something to do


@pytest.mark.parametrize(("draw", "number"), CASES, ids=IDS)
@pytest.mark.parametrize(("mode", "backend"), MEANS)
@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_are_those_of_small_logits(draw, number, mode, backend, recompute):
    scores, logits, images = draw(number)
    gradients = []
    for given, kind in ((scores, "torch"), (logits, backend)):
        crf = DenseCRF(**SETTINGS, mode=mode, backend=kind, recompute=recompute).to(given.dtype)
        given.requires_grad_()
        (crf(given, images) * scores.detach().cos()).sum().backward()
        gradients.append([given.grad, *(weight.grad for weight in crf.parameters())])

    for expected, grad in zip(*gradients, strict=True):
        assert expected is not None
        assert grad is not None
        # Of the largest, which is of the order of 1: three updates' gradients, as above.
        assert (grad - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
