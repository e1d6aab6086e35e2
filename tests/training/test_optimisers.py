"""Optimizers without torch's compiler take torch's own steps, to the bit."""

import copy
from typing import Any

import pytest
import torch
from torch import nn, optim

from autoseg.training.optimisers import SGD, Adam, AdamW

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
