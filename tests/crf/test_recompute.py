"""Recomputed gradients against those that keep everything, and the memory of both."""

import weakref
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from autoseg.crf import DenseCRF, SpatialKernel
from autoseg.crf.recompute import NUM_SNAPSHOTS, reverse
from tests.crf.reference import SETTINGS, scene, settings_with


def gradients(crf: DenseCRF, logits: Tensor, image: Tensor) -> list[Tensor | None]:
    """Gradients of some function of the marginals in logits and parameters."""
    crf.zero_grad()
    logits = logits.detach().requires_grad_(logits.requires_grad)
    (crf(logits, image) * logits.detach().cos()).sum().backward()
    return [logits.grad, *(weight.grad for weight in crf.parameters())]


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_iterations": 0},
        {"num_iterations": 1},
        {"num_iterations": 11},
        {"tolerance": 0.02, "num_iterations": 30},
        {
            "bilateral_weight": [1.0, 2.0, 0.5],
            "compatibility": [[0.25, 1.5, 0.5], [0.75, -0.5, 1.0], [2.0, 1.0, 0.0]],
            "additional_kernels": [SpatialKernel(weight=0.5, xy_std=0.8)],
            "num_iterations": 5,
        },
    ],
)
def test_the_gradient_is_the_same(mode, changes):
    logits, image = scene(3, (5, 6))
    logits.requires_grad_()
    plain, recomputed = (
        DenseCRF(**SETTINGS | changes, mode=mode, recompute=recompute).double()
        for recompute in (False, True)
    )

    assert torch.equal(recomputed(logits, image), plain(logits, image))
    expected, result = gradients(plain, logits, image), gradients(recomputed, logits, image)
    for grad, wanted in zip(result, expected, strict=True):
        if wanted is None:  # without updates the weights do not matter
            assert grad is None or not grad.any()
            continue
        # The same operations; the parts of a sum may come in another order.
        torch.testing.assert_close(grad, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("wants_logits", [False, True])
def test_only_what_is_wanted_gets_a_gradient(wants_logits):
    logits, image = scene(3, (4, 5))
    logits.requires_grad_(wants_logits)
    crf = DenseCRF(**SETTINGS, recompute=True).double()
    crf.spatial_weight.requires_grad_(False)
    crf.bilateral_weight.requires_grad_(not wants_logits)

    result = gradients(crf, logits, image)

    assert [grad is not None for grad in result] == [wants_logits, not wants_logits, False]
    crf.settings = replace(crf.settings, recompute=False)
    for grad, wanted in zip(result, gradients(crf, logits, image), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-12, atol=1e-14)


def test_finite_differences_agree():
    logits, image = scene(3, (3, 4))
    crf = DenseCRF(**settings_with(num_iterations=4), mode="exact", recompute=True)
    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in (2.5, 1.5)]

    def marginals(logits: Tensor, bilateral_weight: Tensor, spatial_weight: Tensor) -> Tensor:
        parameters = {"bilateral_weight": bilateral_weight, "spatial_weight": spatial_weight}
        return torch.func.functional_call(crf, parameters, (logits, image))

    assert torch.autograd.gradcheck(marginals, (logits.requires_grad_(), *weights))


def test_the_logarithm_has_the_same_gradient():
    logits, image = scene(3, (4, 5))
    grads = []
    for recompute in (False, True):
        crf = DenseCRF(**SETTINGS, recompute=recompute).double()
        scores = logits.clone().requires_grad_()
        (crf.log_marginals(scores, image) * logits.cos()).sum().backward()
        grads.append([scores.grad, *(weight.grad for weight in crf.parameters())])
    for plain, recomputed in zip(*grads, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-12, atol=1e-14)


def test_a_second_derivative_is_refused():
    logits, image = scene(3, (4, 5))
    crf = DenseCRF(**SETTINGS, recompute=True)
    total = crf(logits.requires_grad_(), image).square().sum()
    with pytest.raises(RuntimeError, match=r"^Recomputed: its gradient.* with recompute=False\.$"):
        torch.autograd.grad(total, logits, create_graph=True)


class LiveBytes(TorchDispatchMode):
    """Follow the memory of all tensors that operators make; `peak` is the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._live = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._known:
                    self._known.add(storage._cdata)
                    self._live += storage.nbytes()
                    weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self._live)
        return result

    def _forget(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self._live -= num_bytes


def memory(num_iterations: int, *, recompute: bool) -> tuple[int, int]:
    """Bytes saved for the gradient, and bytes live at the worst time of both passes."""
    logits, image = scene(6, (12, 13))
    logits.requires_grad_()
    settings: dict[str, Any] = settings_with(num_iterations=num_iterations, mode="exact")
    crf = DenseCRF(**settings, recompute=recompute).double()
    storages = {}

    def remember(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with LiveBytes() as live:
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            result = crf(logits, image)
        num_saved = sum(storage.nbytes() for storage in storages.values())
        storages.clear()
        result.sum().backward()
    return num_saved, live.peak


def test_memory_does_not_grow_with_the_updates():
    values = 6 * 12 * 13 * 8

    few, many = memory(6, recompute=True), memory(30, recompute=True)

    assert few[0] == many[0] <= 3 * values + 100  # the logits' and Q's softmax, the weights
    assert many[1] <= few[1]
    # Without, a tensor of the marginals' size for each update. The peak of the filters' own
    # buffers is the same for both.
    few_kept, many_kept = memory(6, recompute=False), memory(30, recompute=False)
    assert many_kept[0] - few_kept[0] == 24 * values
    assert many_kept[1] - few_kept[1] == 24 * values


@cache
def fewest_runs(num_steps: int, num_snapshots: int) -> int:
    """Trying every place for the next snapshot."""
    if num_steps <= 1:
        return 0
    if num_snapshots == 0:
        return num_steps * (num_steps - 1) // 2
    return min(
        before
        + fewest_runs(num_steps - before, num_snapshots - 1)
        + fewest_runs(before, num_snapshots)
        for before in range(1, num_steps)
    )


@pytest.mark.parametrize("num_snapshots", [0, 1, 2, 3])
def test_a_chain_is_reversed_with_the_fewest_runs(num_snapshots):
    for num_steps in range(26):
        visited: list[Tensor] = []
        run = Mock(side_effect=lambda state: state + 1)

        reverse(run, visited.append, torch.zeros(()), num_steps, num_snapshots)

        assert [int(state) for state in visited] == list(range(num_steps))[::-1]
        assert run.call_count == fewest_runs(num_steps, num_snapshots)


def test_the_stated_costs_are_those():
    assert [fewest_runs(n, NUM_SNAPSHOTS) for n in (5, 10, 20)] == [5, 15, 45]
    assert [fewest_runs(n, 0) for n in (5, 10, 20)] == [10, 45, 190]
