"""Weights from a file into a network: ImageNet classifiers', and whole networks'.

The file is a safetensors file, or one that torch saved (torchvision's weights), of which nothing
but tensors is unpickled. Everything must fit: a file that lacks a weight, has one too many, or has
one of another shape is refused, and the network stays as it was. Four things may differ, none of
which is a choice:

- Names. torchvision's oldest DenseNet files put a dot into "norm1" and "conv1"; its segmentation
  networks say "backbone" for `encoder`.
- A classifier's own parts have no place in an encoder without one, and are left out.
- VGG's first two fully connected layers are not left out where a network has them as convolutions
  of the same size (FCN, DeepLab-7x7, DeconvNet): each row of a linear layer is a kernel over the
  map that the layer read. Source: Long et al. 2015 (arXiv 1411.4038), section 3.1.
- Batch norm's count of batches, which old files lack, stays as it is; no forward pass reads it.

Networks here read images normalised with ImageNet's mean and deviation, RGB, which is what
torchvision's weights were trained for, but for GoogLeNet's (see `GoogLeNet`). Weights of other
origin may expect another scale: those of Xception in circulation were trained with 0.5 for both.
Names and shapes cannot tell where a stride is: DeepLab v2's ResNet has it on the first 1x1, as in
Caffe; torchvision's weights fit, and were trained with it on the 3x3.
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
from autoseg.networks.outputs import WRAPPED

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
FULLY_CONNECTED = (("context.0", "context.3"), ("fc6.0", "fc7.0"))
"""Convolutions that are VGG's first two linear layers: in FCN and DeepLab v1; in DeconvNet."""
VGG_FULLY_CONNECTED = ("classifier.0", "classifier.3")
MAX_LISTED = 6


class LoadedWeights(NamedTuple):
    """Which weights of a file a network takes."""

    parts: tuple[str, ...]
    """The parts of the network that are filled; none: all of it."""
    num_tensors: int
    """Tensors copied."""
    left_out: tuple[str, ...]
    """Names in the file that belong to a classifier which the network does not have."""


class FittedWeights(NamedTuple):
    """The weights of a file in the form that a network takes."""

    loaded: LoadedWeights
    tensors: dict[str, Tensor]
    """By the network's own names, in the network's shapes."""

    def fill_(self, network: nn.Module) -> None:
        """Copy the tensors into a network like the one that they were fitted to."""
        network.load_state_dict({**network.state_dict(), **self.tensors})


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

    A classifier's file goes into the encoder of a segmentation network, and a network's into the
    one that a CRF follows; the rest keeps its random weights.

    Args:
        network: A network or encoder of this package.
        path: The file; see `read_weights`.

    Raises:
        UsageError: If the file cannot be read or does not fit; the message lists what is missing,
            extra or misshapen, and nothing was copied.
    """
    fitted = fit_weights(network, path)
    fitted.fill_(network)
    return fitted.loaded


def fit_weights(network: nn.Module, path: Path | str) -> FittedWeights:
    """Bring the weights of a file into the form that a network takes, and copy nothing.

    Args:
        network: A network or encoder of this package; its names and shapes alone are read, so that
            it may lie on the meta device.
        path: The file; see `read_weights`.

    Raises:
        UsageError: If the file cannot be read or does not fit, as in `load_weights_`.
    """
    path = Path(path)
    tensors = {_current_name(name): tensor for name, tensor in read_weights(path).items()}
    return _fit_file(network, tensors, path=path)


def _fit_file(network: nn.Module, tensors: dict[str, Tensor], *, path: Path) -> FittedWeights:
    """Find out what the file is of, and fit it to the part of the network that it is for."""
    wrapped = dict(network.named_children()).get(WRAPPED)
    if wrapped is not None and not any(name.startswith(f"{WRAPPED}.") for name in tensors):
        loaded, fitted = _fit_file(wrapped, tensors, path=path)
        parts = tuple(f"{WRAPPED}.{part}" for part in loaded.parts) or (WRAPPED,)
        return FittedWeights(
            loaded._replace(parts=parts),
            {f"{WRAPPED}.{name}": tensor for name, tensor in fitted.items()},
        )
    if isinstance(network, Encoder):
        names = {name: name for name in network.state_dict()}
        return _fit(network, tensors, names=names, encoder=("", network), path=path)
    if any(name.startswith("backbone.") for name in tensors):
        tensors = from_torchvision(tensors)
    part, names = _encoder_names(network)
    if part and not any(name.startswith(f"{part}.") for name in tensors):
        fully_connected = _fully_connected_names(network, tensors)
        for own, name in fully_connected.items():
            # (out, C * k * k) -> (out, C, k, k)
            tensors[name] = tensors[name].reshape(network.get_parameter(own).shape)
        names |= fully_connected
        encoder = (part, network.get_submodule(part))
        return _fit(network, tensors, names=names, encoder=encoder, path=path)
    names = {name: name for name in network.state_dict()}
    return _fit(network, tensors, names=names, encoder=None, path=path)


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
        Name of the part, "" if there is none, and for each of the network's weights in it the
        classifier's name.
    """
    for part, module in network.named_modules():
        if isinstance(module, Encoder):
            return part, {f"{part}.{name}": name for name in module.state_dict()}
    for part, module in network.named_children():
        if part not in VGG_PARTS:
            continue
        # "17.weight", or "4.17.weight" in block 4, is the classifier's "features.17.weight".
        names = {
            f"{part}.{name}": ".".join(["features", *name.split(".")[-2:]])
            for name in module.state_dict()
        }
        if len(set(names.values())) == len(names):
            return part, names
    return "", {}


def _fully_connected_names(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Name VGG's first two fully connected layers where the network has both, and of their size."""
    state = network.state_dict()
    for layers in FULLY_CONNECTED:
        names = {
            f"{own}.{kind}": f"{theirs}.{kind}"
            for own, theirs in zip(layers, VGG_FULLY_CONNECTED, strict=True)
            for kind in ("weight", "bias")
        }
        if all(
            own in state
            and name in tensors
            and tensors[name].shape[:1] == state[own].shape[:1]
            and tensors[name].numel() == state[own].numel()
            for own, name in names.items()
        ):
            return names
    return {}


def _fit(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    names: Mapping[str, str],
    encoder: tuple[str, nn.Module] | None,
    path: Path,
) -> FittedWeights:
    """Pick the tensors of the weights in `names`, which have other names in the file.

    Args:
        network: The network.
        tensors: Content of the file.
        names: Name in the file of each weight of the network that is to be filled.
        encoder: Name and module of the part that a classifier's file is for; None for a file of a
            whole network.
        path: The file, for messages.
    """
    state = network.state_dict()
    part, module = encoder or ("", network)
    left_out: tuple[str, ...] = ()
    if encoder is not None:
        absent = tuple(f"{name}." for name in _absent_parts(module))
        taken = set(names.values())
        left_out = tuple(n for n in tensors if n.startswith(absent) and n not in taken)

    found = {own: tensors[name] for own, name in names.items() if name in tensors}
    missing = [
        name
        for own, name in names.items()
        if own not in found and not own.endswith("num_batches_tracked")
    ]
    extra = sorted(set(tensors) - set(names.values()) - set(left_out))
    misshapen = [
        f"{names[own]} is {tuple(tensor.shape)} where the network has {tuple(state[own].shape)}"
        for own, tensor in found.items()
        if tensor.shape != state[own].shape
    ]
    problems = [
        f"{len(listed)} {kind}: {_listed(listed)}"
        for kind, listed in (("missing", missing), ("extra", extra), ("misshapen", misshapen))
        if listed
    ]
    if problems:
        asked = f"{type(module).__name__} ({part})" if part else type(module).__name__
        raise UsageError(
            f"weights: {path} does not fit {asked}; {'; '.join(problems)}. Build the network with "
            "the classes and width that the file was saved with, or name another file."
        )
    parts = tuple(dict.fromkeys(own.split(".")[0] for own in found)) if part else ()
    return FittedWeights(LoadedWeights(parts, len(found), left_out), found)


def _absent_parts(encoder: nn.Module) -> list[str]:
    """Name the parts that a classifier has and this encoder lacks."""
    parts = encoder.classifier_parts if isinstance(encoder, Encoder) else ("classifier",)
    state = encoder.state_dict()
    return [part for part in parts if not any(name.startswith(f"{part}.") for name in state)]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
