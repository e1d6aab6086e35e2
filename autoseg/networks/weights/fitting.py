"""Weights from a file into a network: ImageNet classifiers', and whole networks'.

What a file's names mean is tried in every way that `readings` knows, for the whole network and for
its encoder, and the first that fits is taken. Everything must fit then, or the network stays as it
was. What may differ all the same, and what names and shapes cannot tell, is in docs/weights.md;
what did differ is in `LoadedWeights`.

Source: Long et al. 2015 (arXiv 1411.4038), section 3.1, for VGG's linear layers as convolutions:
each row is a kernel over the map that the layer read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoseg.errors import FileError
from autoseg.foreign_text import listed, printable
from autoseg.networks.outputs import WRAPPED
from autoseg.networks.weightless import weightless
from autoseg.networks.weights.comparison import Comparison, compare
from autoseg.networks.weights.files import WeightFile, read_weights
from autoseg.networks.weights.misfit import misfit_error
from autoseg.networks.weights.names import is_counter, is_num_averaged, readings
from autoseg.networks.weights.targets import targets
from autoseg.ops import adapted_weight, image_readers
from autoseg.ops.image_channels import RGB_CHANNELS


class LoadedWeights(NamedTuple):
    """Which weights of a file a network takes."""

    parts: tuple[str, ...]
    """The parts of the network that are filled; none: all of it."""
    num_tensors: int
    """Tensors copied."""
    left_out: tuple[str, ...]
    """Names in the file that belong to a classifier which the network does not have."""
    beside: tuple[str, ...] = ()
    """Names in the file that lie beside what was taken: a decoder's, a loss'."""
    random: tuple[str, ...] = ()
    """The network's weights that the file has for another number of classes, or lacks: its last
    layers, or those that serve training alone. They stay random."""
    notes: tuple[str, ...] = ()
    """What was taken off or translated so that the file fits."""

    def __str__(self) -> str:
        """Say it in one line: how many tensors, and what was done to the rest."""
        said = [f"{self.num_tensors} tensors", *self.notes]
        for names, what in (
            (self.random, "left random, as the file lacks them or has other classes"),
            (self.left_out, "left out, as the classifier's own"),
            (self.beside, "left out, as no part of it"),
        ):
            if names:
                said.append(f"{what}: {listed(names)}")
        return "; ".join(said)


class FittedWeights(NamedTuple):
    """The weights of a file in the form that a network takes."""

    loaded: LoadedWeights
    tensors: dict[str, Tensor]
    """Tensors by the network's own names, in the network's shapes and precision."""

    def fill_(self, network: nn.Module) -> None:
        """Copy the tensors into a network like the one that they were fitted to.

        If it reads images of other channels than RGB, weights over RGB are adapted.
        """
        tensors = dict(self.tensors)
        for name, reader in image_readers(network).items():
            weight = tensors.get(f"{name}.weight")
            if weight is not None and weight.shape[1] == RGB_CHANNELS != reader.in_channels:
                tensors[f"{name}.weight"] = adapted_weight(weight, reader.in_channels)
        network.load_state_dict({**network.state_dict(), **tensors})


def load_weights_(
    network: nn.Module, path: Path | str, *, build: Callable[[int], nn.Module] | None = None
) -> LoadedWeights:
    """Fill a network, or its encoder, with the weights of a file.

    A classifier's file goes into the encoder of a segmentation network, and a network's into the
    one that a CRF follows; the rest keeps its random weights.

    Args:
        network: A network or encoder of this package.
        path: The file; see `read_weights`.
        build: Builds the same network for another number of classes, as for `fit_weights`.

    Raises:
        UsageError: If the file does not fit (a `MisfitError`, which lists what is missing, extra or
            misshapen) or does not exist; nothing was copied.
        FileError: If the file cannot be read, or a weight in it is not finite.
    """
    fitted = fit_weights(network, path, build=build)
    fitted.fill_(network)
    return fitted.loaded


def fit_weights(
    network: nn.Module, path: Path | str, *, build: Callable[[int], nn.Module] | None = None
) -> FittedWeights:
    """Bring the weights of a file into the form that a network takes, and copy nothing.

    Args:
        network: A network or encoder of this package; its names and shapes alone are read, so that
            it may lie on the meta device.
        path: The file; see `read_weights`.
        build: Builds the network for a number of classes. With it, a file of another number fills
            all but what depends on it; without, everything must fit.

    Raises:
        UsageError, FileError: As `load_weights_`.
    """
    file = read_weights(path)
    return fit_file(network, file, build=build)


def fit_file(
    network: nn.Module, file: WeightFile, *, build: Callable[[int], nn.Module] | None = None
) -> FittedWeights:
    """Do as `fit_weights` with a file that was read."""
    state = network.state_dict()
    comparisons = _comparisons(network, file)
    for comparison, class_dependent in _fitting(comparisons, build):
        return _fitted(comparison, file, state, class_dependent)
    raise misfit_error(comparisons, file, state)


def fits(network: nn.Module, file: WeightFile, *, build: Callable[[int], nn.Module]) -> bool:
    """Tell by names and shapes whether `fit_file` would find a place for a file."""
    return any(_fitting(_comparisons(network, file), build))


def _comparisons(network: nn.Module, file: WeightFile) -> list[Comparison]:
    state = network.state_dict()
    return [
        compare(target, reading, tensors=file.tensors, state=state)
        for target in targets(network)
        for reading in readings(file.tensors)
    ]


def _fitting(
    comparisons: Sequence[Comparison], build: Callable[[int], nn.Module] | None
) -> Iterator[tuple[Comparison, Collection[str]]]:
    """Give the comparisons that fit, each with the names that may stay random for their classes.

    The whole network comes before its encoder, even where its last layers are of other classes.
    """
    for _, group in groupby(comparisons, key=lambda comparison: comparison.target.part):
        same_part = list(group)
        yield from ((comparison, ()) for comparison in same_part if comparison.fits(()))
        # Building the network twice takes its time, and the last layers are never most of it.
        if build is not None and any(comparison.is_mostly_found for comparison in same_part):
            class_dependent = _class_dependent(build)
            for comparison in same_part:
                if comparison.fits(class_dependent):
                    yield comparison, class_dependent


def _class_dependent(build: Callable[[int], nn.Module]) -> frozenset[str]:
    """Name a network's weights whose shape depends on the number of classes."""
    with weightless():
        few, more = build(2).state_dict(), build(3).state_dict()
    return frozenset(name for name in few if few[name].shape != more[name].shape)


def _fitted(
    comparison: Comparison,
    file: WeightFile,
    state: Mapping[str, Tensor],
    class_dependent: Collection[str],
) -> FittedWeights:
    """Copy the tensors of a comparison that fits, in the network's shapes and precision."""
    reading, part = comparison.reading, comparison.target.part
    tensors = {
        own: _values(file, reading.names[name], state[own])
        for own, name in comparison.found.items()
    }
    notes = list(file.notes)
    if reading.stripped:
        notes.append(f"without {', '.join(map(repr, reading.stripped))} in its names")
    if reading.library:
        notes.append(f"{reading.library}'s names translated")
    if counters := [name for name in file.tensors if is_counter(name)]:
        notes.append(f"without thop's {len(counters)} counts of operations and parameters")
    if any(is_num_averaged(name) for name in file.tensors):
        notes.append("the moving average that torch's AveragedModel kept")
    loaded = LoadedWeights(
        # The parts beside each other of which the file fills some: "encoder" and "context".
        parts=_parts(tensors, part),
        num_tensors=len(tensors),
        left_out=tuple(reading.names[name] for name in comparison.left_out),
        beside=tuple(reading.beside.values()),
        random=comparison.excused(class_dependent),
        notes=tuple(notes),
    )
    return FittedWeights(loaded, tensors)


def _parts(filled: Iterable[str], part: str) -> tuple[str, ...]:
    """Name the parts of the network that are filled; none if the target is all of it."""
    if not part:
        return ()
    if part == WRAPPED:
        return (WRAPPED,)
    depth = 2 if part.startswith(f"{WRAPPED}.") else 1
    return tuple(dict.fromkeys(".".join(name.split(".")[:depth]) for name in filled))


def _values(file: WeightFile, name: str, own: Tensor) -> Tensor:
    """Give a tensor of the file in the network's shape and precision.

    Raises:
        FileError: If it holds no numbers of that kind, or one that is not finite.
    """
    tensor, where = file.tensors[name], f"{printable(str(file.path))}: {listed([name])}"
    is_plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_meta
    if not is_plain or tensor.is_floating_point() != own.is_floating_point():
        raise FileError(
            f"{where} holds {tensor.dtype} values in a form that is none of a network's weights; "
            "save the weights in float32, without quantisation."
        )
    # (out, C * k * k) and (out, C, k, k) are the same numbers.
    values = tensor.detach().reshape(own.shape).to(own.dtype)
    if not bool(torch.isfinite(values).all()):
        count = int((~torch.isfinite(values)).sum())
        raise FileError(
            f"{where} holds NaN or infinity in {count:,} of {values.numel():,} values: the "
            "training that saved it had diverged; name an earlier file of it, or another."
        )
    return values
