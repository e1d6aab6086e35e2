"""The peer: NoamRosenberg/autodeeplab, used unmodified from a checkout of it.

Only its supernet is imported. That pulls in fused batch norm layers which compile a CUDA extension
on import although the search never uses them; an empty module stands in for those.
"""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from autoseg.architecture import SearchSpace
from autoseg.errors import UsageError

OPERATIONS = frozenset(
    {
        *("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    }
)
"""What the peer searches."""

_MODULE = "auto_deeplab"
_CUDA_EXTENSION = "modeling.modules"
_MIN_LAYERS = 3  # the coarsest stride must have been reached


def check_peer(path: Path, space: SearchSpace) -> None:
    """Refuse a folder that is no checkout of the peer, and a space that it cannot search.

    Raises:
        UsageError: With the remedy.
    """
    if not (path / f"{_MODULE}.py").exists():
        raise UsageError(
            f"--peer {path}: there is no {_MODULE}.py; name a checkout of "
            "https://github.com/NoamRosenberg/autodeeplab."
        )
    if set(space.operations) != OPERATIONS or space.num_levels != 4:
        raise UsageError(
            f"--peer: the peer searches other operations than the space {space.name!r}; use "
            "--space autodeeplab_depthwise."
        )
    if space.num_layers < _MIN_LAYERS:
        raise UsageError(f"--peer needs at least {_MIN_LAYERS} layers, not {space.num_layers}.")


def peer_commit(path: Path) -> str:
    """Return the commit of the checkout, or "unknown"."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(path), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "unknown"


def build_peer(path: Path, space: SearchSpace, *, num_classes: int, device: str) -> nn.Module:
    """Build the peer's supernet; for a process of its own, whose imports it changes.

    Args:
        path: The checkout.
        space: Its numbers of layers, nodes and filters are taken.
        num_classes: K.
        device: Where it runs.

    Returns:
        A network with `weight_parameters()` and `arch_parameters()`, on the device.
    """
    stand_in = ModuleType(_CUDA_EXTENSION)
    for name in ("InPlaceABN", "InPlaceABNSync", "ABN"):
        setattr(stand_in, name, nn.BatchNorm2d)
    sys.modules[_CUDA_EXTENSION] = stand_in
    sys.path.insert(0, str(path))
    supernet = importlib.import_module(_MODULE).AutoDeeplab(
        num_classes,
        space.num_layers,
        None,
        filter_multiplier=space.filter_multiplier,
        block_multiplier=space.num_nodes,
        step=space.num_nodes,
    )
    if device == "cpu":
        # Its forward pass moves the weights of the strides to the GPU.
        torch.Tensor.cuda = lambda self, *_, **__: self
    return supernet.to(device)
