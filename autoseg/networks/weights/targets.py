"""What of a network a file may be for: all of it, or its encoder."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor, nn

from autoseg.networks.encoders.encoder import Encoder
from autoseg.networks.outputs import AUXILIARY, WRAPPED

VGG_PARTS = ("encoder", "stages")
"""Parts of the networks that cut VGG's convolutions into blocks; their numbers are kept."""
FULLY_CONNECTED = (("context.0", "context.3"), ("fc6.0", "fc7.0"))
"""Convolutions that are VGG's first two linear layers: in FCN and DeepLab v1; in DeconvNet."""
VGG_FULLY_CONNECTED = ("classifier.0", "classifier.3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The part of a network that a file may be for."""

    part: str = ""
    """Name of the part in the network; "" is the whole network."""
    module: nn.Module
    """The part itself."""
    names: dict[str, str]
    """For each tensor of the network that the file has to fill, its name in the file."""
    optional: dict[str, str]
    """For each tensor that a file may lack, or have in another shape, its name in the file."""
    absent: tuple[str, ...] = ()
    """Parts that the file may have and the network lacks: a classifier's own."""
    others: Mapping[str, Tensor]
    """The rest of the network, by name: the kernels, which tell one network from another."""

    @property
    def title(self) -> str:
        """How messages call it."""
        kind = type(self.module).__name__
        return f"{kind} ({self.part})" if self.part else kind

    def inside(self, part: str) -> Self:
        """Give the same target of a network that holds this one as its part `part`."""

        def moved(names: Mapping[str, str]) -> dict[str, str]:
            return {f"{part}.{own}": name for own, name in names.items()}

        return replace(
            self,
            part=f"{part}.{self.part}" if self.part else part,
            names=moved(self.names),
            optional=moved(self.optional),
        )


def targets(network: nn.Module) -> list[Target]:
    """List what a file may be for, the whole network first."""
    found = [_whole(network)]
    wrapped = dict(network.named_children()).get(WRAPPED)
    if wrapped is not None:
        return found + [target.inside(WRAPPED) for target in targets(wrapped)]
    if isinstance(network, Encoder):
        return found
    part, names = _encoder_names(network)
    if not part:
        return found
    module = network.get_submodule(part)
    state = network.state_dict()
    others = {
        name: tensor
        for name, tensor in state.items()
        if tensor.ndim > 1 and not name.startswith((f"{part}.", f"{AUXILIARY}."))
    }
    return [
        *found,
        Target(
            part=part,
            module=module,
            names=names,
            optional=_fully_connected_names(state),
            absent=_absent_parts(module),
            others=others,
        ),
    ]


def _whole(network: nn.Module) -> Target:
    names = {name: name for name in network.state_dict()}
    return Target(
        module=network,
        names=names,
        optional={},
        absent=_absent_parts(network) if isinstance(network, Encoder) else (),
        others={},
    )


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


def _fully_connected_names(state: Collection[str]) -> dict[str, str]:
    """Name VGG's first two fully connected layers where the network has both."""
    for layers in FULLY_CONNECTED:
        names = {
            f"{own}.{kind}": f"{theirs}.{kind}"
            for own, theirs in zip(layers, VGG_FULLY_CONNECTED, strict=True)
            for kind in ("weight", "bias")
        }
        if all(own in state for own in names):
            return names
    return {}


def _absent_parts(encoder: nn.Module) -> tuple[str, ...]:
    """Name the parts that a classifier has and this encoder lacks."""
    parts = encoder.classifier_parts if isinstance(encoder, Encoder) else ("classifier",)
    state = encoder.state_dict()
    return tuple(
        f"{part}." for part in parts if not any(name.startswith(f"{part}.") for name in state)
    )
