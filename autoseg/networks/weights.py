"""Weights from a file into a network: ImageNet classifiers', and whole networks'.

The file is a safetensors file, or one that torch saved (torchvision's weights), of which nothing
but tensors is unpickled. Everything must fit: a file that lacks a weight, has one too many, or has
one of another shape is refused, and the network stays as it was. Three things may differ, none of
which is a choice:

- Names. torchvision's oldest DenseNet files put a dot into "norm1" and "conv1"; its segmentation
  networks say "backbone" for `encoder`.
- A classifier's own parts have no place in an encoder without one, and are left out.
- Batch norm's count of batches, which old files lack, stays as it is; no forward pass reads it.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks.encoder import Encoder

TORCHVISION_PREFIXES = (
    ("backbone.", "encoder."),
    ("aux_classifier.", "auxiliary."),
    ("classifier.0.convs.0.", "head.0.pointwise."),
    ("classifier.0.convs.1.", "head.0.atrous.0."),
    ("classifier.0.convs.2.", "head.0.atrous.1."),
    ("classifier.0.convs.3.", "head.0.atrous.2."),
    ("classifier.0.convs.4.1.", "head.0.pooling.project.0."),
    ("classifier.0.convs.4.2.", "head.0.pooling.project.1."),
    ("classifier.", "head."),
)
"""Beginnings of torchvision's names for DeepLab v3 and FCN over a ResNet, and those used here."""
VGG_PARTS = ("encoder", "stages")
"""Parts of the networks that cut VGG's convolutions into blocks; their numbers are kept."""
MAX_LISTED = 6


class LoadedWeights(NamedTuple):
    """What `load_weights_` did."""

    part: str
    """The part of the network that was filled, "" for all of it."""
    num_tensors: int
    """Tensors copied."""
    left_out: tuple[str, ...]
    """Names in the file that belong to a classifier which the network does not have."""


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a file, on the CPU.

    Args:
        path: A safetensors file by its ending; otherwise a state dict that torch saved, alone or
            under "state_dict" or "model".

    Returns:
        Tensors by the names in the file.

    Raises:
        UsageError: If the file does not exist, cannot be read, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"weights: {path} does not exist.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"weights: {path} is neither a safetensors file nor a state dict of tensors alone "
            f"({reason}); save `network.state_dict()` with torch.save, or as .safetensors."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise UsageError(
            f"weights: {path} holds no state dict, tensors by name, but a {type(content).__name__}."
        )
    return dict(content)


def load_weights_(network: nn.Module, path: Path | str) -> LoadedWeights:
    """Fill a network, or its encoder, with the weights of a file.

    A classifier's file goes into the encoder of a segmentation network; the rest of the network
    keeps its random weights.

    Args:
        network: A network or encoder of this package.
        path: The file; see `read_weights`.

    Raises:
        UsageError: If the file cannot be read or does not fit; the message lists what is missing,
            extra or misshapen, and nothing was copied.
    """
    tensors = {_current_name(name): tensor for name, tensor in read_weights(path).items()}
    if not isinstance(network, Encoder):
        if any(name.startswith("backbone.") for name in tensors):
            tensors = from_torchvision(tensors)
        part, names = _encoder_names(network)
        if part and not any(name.startswith(f"{part}.") for name in tensors):
            encoder = network.get_submodule(part)
            return _fill_(encoder, tensors, names=names, part=part, path=Path(path))
    own_names = {name: name for name in network.state_dict()}
    return _fill_(network, tensors, names=own_names, part="", path=Path(path))


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of torchvision's DeepLab v3 or FCN over a ResNet to the names here."""
    return {_renamed(name, TORCHVISION_PREFIXES): value for name, value in tensors.items()}


def to_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of DeepLab v3 or FCN over a ResNet to torchvision's names."""
    prefixes = [(ours, theirs) for theirs, ours in TORCHVISION_PREFIXES]
    return {_renamed(name, prefixes): value for name, value in tensors.items()}


def _renamed(name: str, prefixes: Sequence[tuple[str, str]]) -> str:
    for before, after in prefixes:
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name


def _current_name(name: str) -> str:
    """Write "denselayer1.norm.1" as "denselayer1.norm1"."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def _encoder_names(network: nn.Module) -> tuple[str, dict[str, str]]:
    """Find a segmentation network's encoder.

    Returns:
        Name of the part, "" if there is none, and for each of its weights the classifier's name.
    """
    for part, module in network.named_modules():
        if isinstance(module, Encoder):
            return part, {name: name for name in module.state_dict()}
    for part, module in network.named_children():
        if part not in VGG_PARTS:
            continue
        # "17.weight", or "4.17.weight" in block 4, is the classifier's "features.17.weight".
        names = {
            name: ".".join(["features", *name.split(".")[-2:]]) for name in module.state_dict()
        }
        if len(set(names.values())) == len(names):
            return part, names
    return "", {}


def _fill_(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    names: Mapping[str, str],
    part: str,
    path: Path,
) -> LoadedWeights:
    """Copy the tensors into a module whose weights have other names in the file."""
    state = module.state_dict()
    if isinstance(module, Encoder):
        classifier_parts = module.classifier_parts
    else:
        classifier_parts = ("classifier",) if part else ()
    prefixes = [f"{name}." for name in classifier_parts]
    absent = [prefix for prefix in prefixes if not any(own.startswith(prefix) for own in state)]
    left_out = tuple(name for name in tensors if name.startswith(tuple(absent)))

    present = {own: tensors[name] for own, name in names.items() if name in tensors}
    missing = [
        name
        for own, name in names.items()
        if own not in present and not own.endswith("num_batches_tracked")
    ]
    extra = sorted(set(tensors) - set(names.values()) - set(left_out))
    misshapen = [
        f"{names[own]} is {tuple(tensor.shape)} where the network has {tuple(state[own].shape)}"
        for own, tensor in present.items()
        if tensor.shape != state[own].shape
    ]
    problems = [
        f"{len(found)} {kind}: {_listed(found)}"
        for kind, found in (("missing", missing), ("extra", extra), ("misshapen", misshapen))
        if found
    ]
    if problems:
        asked = f"{type(module).__name__} ({part})" if part else type(module).__name__
        raise UsageError(
            f"weights: {path} does not fit {asked}; {'; '.join(problems)}. Build the network with "
            "the classes and width that the file was saved with, or name another file."
        )
    module.load_state_dict({**state, **present})
    return LoadedWeights(part, len(present), left_out)


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
