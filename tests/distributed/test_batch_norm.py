"""Synced batch norm against torch's over the whole batch."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.distributed import (
    batch_norm,
    joined,
    own_positions,
    sum_gradients_,
    sum_over_processes,
    sync_batch_norm_,
)
from autoseg.errors import UsageError
from autoseg.launch import launch
from tests.processes import run_processes
from tests.waits import META, Waits

N, C, H, W = 6, 3, 4, 5


def one_step(dtype):
    """Put one batch through a norm between convolutions; return all that comes of it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, C, 1), nn.BatchNorm2d(C), nn.Conv2d(C, 2, 1)).to(dtype)
    sync_batch_norm_(network)
    maps = (torch.randn(N, 2, H, W) * 3 + 5).to(dtype).requires_grad_()
    own = own_positions(N)
    output = network(maps[own])
    loss = sum_over_processes((output * torch.randn(N, 2, H, W).to(dtype)[own]).square().sum())
    loss.backward()
    sum_gradients_(network.parameters())
    assert maps.grad is not None
    return {
        "output": output.detach(),
        "maps": maps.grad[own],
        "loss": loss.detach(),
        **{name: tensor.grad for name, tensor in network.named_parameters()},
        **{name: tensor.clone() for name, tensor in network.named_buffers()},
    }


def one_step_together(dtype):
    with joined(launch()):
        return {name: tensor.numpy() for name, tensor in one_step(dtype).items()}


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_processes_compute_what_one_computes_of_the_whole_batch(dtype, close):
    expected = one_step(dtype)
    parts = run_processes(one_step_together, dtype, num_processes=3)
    for rank, part in enumerate(parts):
        assert part is not None
        for name, whole in expected.items():
            own = slice(rank * N // 3, (rank + 1) * N // 3)
            whole = whole[own] if name in ("output", "maps") else whole
            torch.testing.assert_close(
                torch.from_numpy(part[name]), whole, rtol=close, atol=close, msg=name
            )


def synced_1d():
    with joined(launch()), pytest.raises(UsageError, match="--batch-norm per-device"):
        sync_batch_norm_(nn.Sequential(nn.BatchNorm1d(2)))


def test_a_norm_that_cannot_be_synced_is_refused():
    assert run_processes(synced_1d) == [None, None]


@pytest.fixture
def one_of_one(monkeypatch):
    """Let this process play the only one of a group."""
    monkeypatch.setattr(batch_norm, "speaking", nullcontext)
    monkeypatch.setattr(
        batch_norm.dist,
        "all_gather",
        lambda parts, own: [part.copy_(own) for part in parts],
    )
    monkeypatch.setattr(batch_norm.dist, "all_reduce", lambda sums: None)


@pytest.mark.usefixtures("one_of_one")
def test_maps_in_bf16_come_out_in_bf16_and_sums_are_of_float32():
    generator = torch.Generator().manual_seed(0)
    maps = (torch.randn(N, C, H, W, generator=generator) * 3 + 50).bfloat16()
    grad = torch.randn(N, C, H, W, generator=generator).bfloat16()
    weight, bias = torch.randn(2, C, generator=generator).unbind()

    def results(dtype, normalise):
        inputs = [maps.to(dtype), weight, bias]
        inputs = [t.detach().clone().requires_grad_() for t in inputs]
        output = normalise(*inputs)
        output.backward(grad.to(output.dtype))
        return [output.detach(), *(each.grad for each in inputs)]

    own = results(torch.bfloat16, lambda *inputs: batch_norm._Synced.apply(*inputs, 1e-5)[0])
    expected = results(
        torch.float64,
        lambda maps, weight, bias: F.batch_norm(
            maps, None, None, weight.double(), bias.double(), training=True, eps=1e-5
        ),
    )
    assert [t.dtype for t in own] == [torch.bfloat16] * 2 + [torch.float32] * 2
    for name, found, exact in zip(("output", "maps", "weight", "bias"), own, expected, strict=True):
        error = (found.double() - exact).abs().max() / exact.abs().max()
        # Maps are rounded once, to 8 bits; sums are not, though their terms have a mean of 50.
        assert error < (2**-8 if found.dtype == torch.bfloat16 else 1e-5), name


@pytest.mark.usefixtures("one_of_one")
def test_a_norm_waits_for_no_device():
    norm = nn.BatchNorm2d(C).to(META)
    maps = torch.empty(N, C, H, W, device=META, requires_grad=True)
    with Waits() as waits:
        output, *_ = batch_norm._Synced.apply(maps, norm.weight, norm.bias, norm.eps)
        output.sum().backward()
    assert waits.found == []
