"""The CRF as an operator, by torch's own rules for operators and against the module."""

from typing import Any

import pytest
import torch

from autoseg.crf import BilateralKernel, DenseCRF, SpatialKernel
from autoseg.crf import operator as crf_operator
from autoseg.crf.operator import log_marginals_as_operator
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, scene

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
