"""Synced batch norm against torch's over the whole batch."""

import pytest
import torch
from torch import nn

from autoseg.distributed import (
    joined,
    own_positions,
    sum_gradients_,
    sum_over_processes,
    sync_batch_norm_,
)
from autoseg.errors import UsageError
from autoseg.launch import launch
from tests.processes import run_processes

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
