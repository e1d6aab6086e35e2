"""Gradients of the CRF against finite differences in float64."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.crf import BilateralKernel, DenseCRF
from tests.crf.reference import SETTINGS, scene, settings_with

MODES = ("fast", "accurate", "exact", "local")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("normalisation", ["symmetric", "after"])
def test_logits_and_weights(mode, normalisation):
    logits, image = scene(3, (3, 4))
    changes: dict[str, Any] = {"num_iterations": 2, "normalisation": normalisation}
    crf = DenseCRF(**SETTINGS | changes, mode=mode)
    weights = [
        torch.tensor(weight, dtype=torch.float64, requires_grad=True) for weight in (2.5, 1.5)
    ]

    def marginals(logits: Tensor, bilateral_weight: Tensor, spatial_weight: Tensor) -> Tensor:
        parameters = {"bilateral_weight": bilateral_weight, "spatial_weight": spatial_weight}
        return torch.func.functional_call(crf, parameters, (logits, image))

    assert torch.autograd.gradcheck(marginals, (logits.requires_grad_(), *weights))


@pytest.mark.parametrize("mode", MODES)
def test_weights_per_class_and_compatibility(mode):
    logits, image = scene(3, (3, 4))
    changes: dict[str, Any] = {"num_iterations": 2, "bilateral_weight": [1.0, 2.0, 0.5]}
    kernel = BilateralKernel(weight=[0.5, 1.5, 1.0], xy_std=2.0, rgb_std=90.0)
    mu = torch.tensor([[0.25, 1.5, 0.5], [0.75, -0.5, 1.0], [2.0, 1.0, 0.0]])
    crf = DenseCRF(
        **SETTINGS | changes, additional_kernels=[kernel], compatibility=mu, mode=mode
    ).double()
    names = [name for name, _ in crf.named_parameters()]
    assert len(names) == 4

    def marginals(logits: Tensor, *parameters: Tensor) -> Tensor:
        by_name = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(crf, by_name, (logits, image))

    assert torch.autograd.gradcheck(marginals, (logits.requires_grad_(), *crf.parameters()))


def test_memory_grows_by_the_same_amount_with_each_update():
    logits, image = scene(4, (9, 11))

    def saved_bytes(num_iterations: int) -> int:
        crf = DenseCRF(**settings_with(num_iterations=num_iterations))
        storages = {}

        def remember(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            crf(logits, image)
        return sum(storage.nbytes() for storage in storages.values())

    two, three, four, nine = (saved_bytes(n) for n in (2, 3, 4, 9))

    assert four - three == three - two
    assert nine - four == 5 * (three - two)
    # Q, K values of 8 bytes a pixel.
    assert three - two == 4 * 9 * 11 * 8


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_of_a_batch_reaches_logits_and_weights(mode):
    # float32, N = 2: what training does; the reference is a difference quotient in float64.
    scenes = [scene(3, (6, 7), seed) for seed in (4, 5)]
    logits, images = (torch.cat(parts) for parts in zip(*scenes, strict=True))
    target = logits.argmax(dim=1).flip(2)
    crf = DenseCRF(**SETTINGS, mode=mode)

    def loss(crf: DenseCRF, logits: Tensor) -> Tensor:
        return F.nll_loss(crf(logits, images).clamp_min(1e-12).log(), target)

    single = logits.float().requires_grad_()
    loss(crf, single).backward()

    assert single.grad is not None
    direction = torch.sign(single.grad).double()
    crf = crf.double()
    step = 1e-5
    for parameter in crf.parameters():
        quotient = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step
                quotient.append(loss(crf, logits).item())
                parameter -= sign * step
        expected = (quotient[0] - quotient[1]) / (2 * step)
        assert parameter.grad is not None
        assert parameter.grad.item() == pytest.approx(expected, rel=1e-3)  # float32 gradient
    with torch.no_grad():
        ahead, behind = (loss(crf, logits + sign * step * direction) for sign in (1, -1))
    expected = ((ahead - behind) / (2 * step)).item()
    assert single.grad.abs().sum().item() == pytest.approx(expected, rel=1e-3)
