"""Values of a file of weights: of what kinds they may be, and that none is NaN or infinite."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from autoseg.errors import FileError
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.weights import load_weights_
from tests.networks.weights.test_fitting import build_random, save


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_tensor(
    tmp_path: Path, value: float
) -> None:
    network = build_random("resnet18")
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["layer1.0.bn1.running_var"][2] = value
    path = save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "nan.pth")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    message = (
        f"{path}: module.layer1.0.bn1.running_var holds NaN or infinity in 1 of 8 values: the "
        "training that saved it had diverged; name an earlier file of it, or another."
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_weights_(network, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_value_too_large_for_the_networks_precision_is_refused(tmp_path: Path) -> None:
    state = build_random("resnet18").state_dict()
    state["conv1.weight"][0, 0, 0, 0] = 1e300  # a double
    path = save(state, tmp_path / "large.pth")
    load_weights_(build_random("resnet18"), path)
    with pytest.raises(FileError, match=r"conv1\.weight holds NaN or infinity in 1 of 1,176"):
        load_weights_(build_random("resnet18").float(), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.to(torch.int8),
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.to(torch.complex64),
        lambda tensor: tensor.to("meta"),
    ],
)
def test_what_is_no_plain_number_is_refused(
    tmp_path: Path, change: Callable[[Tensor], Tensor]
) -> None:
    state = ENCODERS["resnet18"](num_classes=7, width=0.125).state_dict()
    state["conv1.weight"] = change(state["conv1.weight"])
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(
        FileError, match=r"odd\.pth: conv1\.weight holds torch\.\w+ values in a form"
    ):
        load_weights_(build_random("resnet18"), tmp_path / "odd.pth")


def test_half_precision_is_taken(tmp_path: Path) -> None:
    network = build_random("resnet18")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        state = {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in build_random("resnet18").state_dict().items()
        }
        load_weights_(network, save(state, tmp_path / "half.safetensors"))
        assert torch.equal(network.get_parameter("conv1.weight"), state["conv1.weight"].double())
