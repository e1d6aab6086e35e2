"""The CRF as an operator, by torch's own rules for operators and against the module."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg._native import core
from autoseg.crf import BilateralKernel, CRFConfig, DenseCRF, SpatialKernel
from autoseg.crf import operator as crf_operator
from autoseg.crf.operator import log_marginals_as_operator
from autoseg.errors import UsageError
from autoseg.networks import CRF_RNN, NetworkWithCRF, crf_rnn
from tests.crf.reference import SETTINGS, scene
from tests.crf.test_settings import OTHER

needs_kernels = pytest.mark.skipif(core() is None, reason="the compiled kernels are missing")

CASES: dict[str, dict[str, Any]] = {
    "potts": {},
    "per class": {
        "bilateral_weight": [1.0, 2.0, 0.5],
        "compatibility": [[0.0, 1.5, 0.5], [0.5, 0.0, 1.0], [2.0, 1.0, 0.25]],
        "normalisation": "after",
    },
    "kernels": {
        "additional_kernels": (
            SpatialKernel(weight=0.5, xy_std=4.0),
            BilateralKernel(weight=[0.5, 1.5, 1.0], xy_std=2.0, rgb_std=90.0),
        ),
        "mode": "exact",
        "tolerance": 0.02,
        "backend": "torch",
    },
}


class Given(nn.Module):
    """A network that returns the scores it was given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_what_the_module_infers(case, dtype):
    logits, images = scene(3, (5, 6))
    crf = DenseCRF(**SETTINGS | CASES[case]).to(dtype)
    with torch.no_grad():
        for weight in crf.parameters():
            weight -= 0.75  # so that some are negative, which no constructor takes
        expected = crf.log_marginals(logits.to(dtype), images, num_iterations=4)
        result = log_marginals_as_operator(crf, logits.to(dtype), images, num_iterations=4)
    assert torch.equal(result, expected)


# Where subsampling shows: one colour, so that every pixel has many like it, smooth scores with a
# label that leads, and weak terms that leave the labels uncertain.
FLAT = torch.full((1, 3, 48, 64), 90, dtype=torch.uint8)
COARSE = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
SMOOTH = F.interpolate(COARSE, size=(48, 64), mode="bilinear")
SMOOTH[:, 0] += 2.0
START = CRFConfig(
    bilateral_weight=0.8,
    bilateral_rgb_std=13.0,
    bilateral_xy_std=8.0,
    spatial_weight=0.4,
    num_iterations=5,
)


@needs_kernels
@pytest.mark.parametrize("name", OTHER)
def test_no_setting_is_forgotten_on_the_way(name, monkeypatch):
    settings = replace(START, **{name: OTHER[name]})
    num_iterations = settings.num_iterations
    seen = []
    infer_batch = crf_operator.infer_batch

    def watched(given, *arguments, **options):
        seen.append(given)
        return infer_batch(given, *arguments, **options)

    monkeypatch.setattr(crf_operator, "infer_batch", watched)
    crf, usual = settings.build(), START.build()
    if settings.mode == "exact":  # takes a while
        logits, images = SMOOTH[..., :6, :7], FLAT[..., :6, :7]
    else:
        logits, images = SMOOTH, FLAT
    with torch.no_grad():
        expected = crf.log_marginals(logits, images)
        result = log_marginals_as_operator(crf, logits, images, num_iterations=num_iterations)
        default = usual.log_marginals(logits, images)
    assert torch.equal(result, expected)
    assert seen == [replace(settings, compatibility=None)]
    # The back ends agree, and how a gradient is computed matters to gradients alone.
    if name not in ("backend", "recompute"):
        assert not torch.equal(result, default)


@needs_kernels
def test_behind_a_network_every_pixel_is_computed_if_so_asked():
    """The operator once forgot this setting."""
    settings = replace(START, subsample_above=None, num_iterations=2)
    network = NetworkWithCRF(Given(SMOOTH), settings.build(), mean=(0.5,) * 3, std=(0.25,) * 3)
    images = (FLAT / 255 - 0.5) / 0.25
    with torch.no_grad():
        result = network.eval()(images)
        expected = settings.build().log_marginals(SMOOTH, FLAT)
        subsampled = replace(settings, subsample_above=100.0).build().log_marginals(SMOOTH, FLAT)
    assert torch.equal(result, expected)
    assert (result - subsampled).abs().max() > 1e-4


def test_a_network_compiled_without_gradients_is_one_graph():
    settings = replace(CRF_RNN, subsample_above=None, num_iterations=2)
    logits, images = SMOOTH[..., :6, :7], FLAT[..., :6, :7] / 255.0
    network = crf_rnn(
        Given(logits), num_classes=3, mean=(0.0,) * 3, std=(1.0,) * 3, settings=settings
    ).eval()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(images), network(images))


@pytest.mark.parametrize("case", CASES)
def test_torch_finds_it_well_made(case, monkeypatch):
    logits, images = scene(3, (5, 6))
    crf = DenseCRF(**SETTINGS | CASES[case]).requires_grad_(False)
    seen = []
    monkeypatch.setattr(crf_operator, "_log_marginals", lambda *arguments: seen.append(arguments))
    log_marginals_as_operator(crf, logits, images, num_iterations=2)
    monkeypatch.undo()
    # Schema, fake tensors, and tracing with static and dynamic shapes.
    torch.library.opcheck(crf_operator._log_marginals, seen[0])


def test_a_refusal_comes_through():
    logits, images = scene(3, (5, 6))
    logits[0, 1, 2, 3] = torch.nan
    with pytest.raises(UsageError, match=r"1 of 90 logits are infinite or not a number"):
        log_marginals_as_operator(DenseCRF(**SETTINGS), logits, images, num_iterations=2)


def test_there_is_no_way_back_through_it():
    logits, images = scene(3, (5, 6))
    result = log_marginals_as_operator(
        DenseCRF(**SETTINGS), logits.requires_grad_(), images, num_iterations=2
    )
    with pytest.raises(RuntimeError, match="no autograd formula"):
        result.sum().backward()
