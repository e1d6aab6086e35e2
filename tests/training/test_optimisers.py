"""Optimizers without torch's compiler take torch's own steps, to the bit."""

import copy
from typing import Any

import pytest
import torch
from torch import nn, optim

from autoseg.training.optimisers import SGD, Adam, AdamW, load_optimizer_

CASES = {
    "SGD": (SGD, optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2, "foreach": True}),
    "fused SGD": (SGD, optim.SGD, {"lr": torch.tensor(0.1), "momentum": 0.9, "fused": True}),
    "Adam": (Adam, optim.Adam, {"lr": 0.1, "weight_decay": 1e-2, "fused": True}),
    "AdamW": (AdamW, optim.AdamW, {"lr": 0.1, "betas": (0.8, 0.999), "foreach": True}),
}


def train(network: nn.Module, kind: type[optim.Optimizer], how: dict[str, Any]) -> list[Any]:
    """Step three times, the last after a way through `state_dict`; return weights and state."""
    optimizer = kind(network.parameters(), **how)
    images = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for step in range(3):
        if step == 2:
            saved = optimizer.state_dict()
            optimizer = kind(network.parameters(), **how)
            optimizer.load_state_dict(saved)
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()
    state = optimizer.state_dict()
    return [list(network.parameters()), state["param_groups"], list(state["state"].values())]


@pytest.mark.parametrize("case", CASES)
def test_steps_are_torchs(case):
    kind, torchs, how = CASES[case]
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    expected = train(copy.deepcopy(network), torchs, how)
    torch.testing.assert_close(train(network, kind, how), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [SGD, AdamW])
@pytest.mark.parametrize(("before", "after"), [("fused", "foreach"), ("foreach", "fused")])
def test_what_goes_on_elsewhere_steps_as_is_right_there(kind, before, after):
    """A GPU's steps are fused; a CPU's are not, nor would they be on a GPU if it took them over."""
    networks = [nn.Linear(3, 2) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    moments = {"momentum": 0.9} if kind is SGD else {}
    first, other = (
        kind(network.parameters(), lr=0.1, **moments, **{how: True})
        for network, how in zip(networks, (before, after), strict=True)
    )
    images = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

    def step(network, optimizer):
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()

    step(networks[0], first)
    networks[1].load_state_dict(networks[0].state_dict())
    first.param_groups[0]["lr"] = 0.05
    load_optimizer_(other, copy.deepcopy(first.state_dict()))
    (group,) = other.param_groups
    assert group[after] and not group[before]
    assert group["lr"] == 0.05  # all else is what was saved
    for network, optimizer in zip(networks, (first, other), strict=True):
        step(network, optimizer)
    # The same momenta: the second step is the same up to rounding.
    torch.testing.assert_close(networks[1].state_dict(), networks[0].state_dict())
