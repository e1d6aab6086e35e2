"""The weights that a retraining starts from: `--weights FILE`."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from autoseg.data import IMAGENET, Normalisation
from autoseg.errors import UsageError
from autoseg.networks import (
    NETWORKS,
    FittedWeights,
    MisfitError,
    NamedNetwork,
    WeightFile,
    fit_file,
    fits,
    pairs_over,
    read_weights,
)
from autoseg.networks.weightless import weightless
from autoseg.ops.image_channels import RGB_CHANNELS
from autoseg.runs import load_record, reading_record, schema
from autoseg.trained.choice import NetworkChoice

CHECKPOINTS = "checkpoint-*.pt"


@dataclass(frozen=True, kw_only=True, slots=True)
class StartingWeights:
    """Weights that fit the one network of a retraining."""

    fitted: FittedWeights
    """What to copy into the network."""
    record: dict[str, Any]
    """What run.json keeps of it: the file's name and checksum, and what went where."""
    lines: tuple[str, ...]
    """Which part of the network it fills, from which file, and how."""


def starting_weights(
    path: Path | None,
    choices: Sequence[NetworkChoice],
    *,
    num_classes: int,
    normalisation: Normalisation = IMAGENET,
    resumed: Path | None = None,
) -> StartingWeights | None:
    """Read the file that a retraining starts from, and say what it fills.

    A retraining that is resumed reads the file again only if it stopped before its first
    checkpoint, which decides all weights.

    Args:
        path: The file that the user named; None starts a new retraining from random weights.
        choices: The networks to train.
        num_classes: K, the number of evaluated classes.
        normalisation: The images' normalisation. A file of a network that reads as many channels
            fits, or one over RGB, whose first convolutions are adapted.
        resumed: Folder of the retraining that is resumed; None starts a new one.

    Raises:
        UsageError: If there are several networks; if the file does not fit, and the message says
            with which width, filters or network it would; if it is not the one that the resumed
            retraining was started from, or that one is needed and not given.
        FileError: If the file cannot be read.
    """
    if resumed is not None and not _is_needed_again(path, choices, folder=resumed):
        return None
    if path is None:
        return None
    if len(choices) > 1:
        labels = ", ".join(choice.label for choice in choices)
        raise UsageError(
            f"--weights {path}: {len(choices)} networks are to be trained ({labels}), and one file "
            "fits one network; name it with --network NAME, or leave --weights out."
        )
    (choice,) = choices
    file = read_weights(path)
    try:
        has_own = _fits(choice, file, num_classes=num_classes, normalisation=normalisation)
        fitted = _fit(
            choice,
            file,
            num_classes=num_classes,
            normalisation=normalisation if has_own else IMAGENET,
        )
    except MisfitError as error:
        for other, remedy in _alternatives(choice, error):
            if _fits(other, file, num_classes=num_classes):
                raise UsageError(f"--weights {path}: {remedy}") from None
        raise
    loaded = fitted.loaded
    everything = f"all but {len(loaded.random)} tensors" if loaded.random else "all"
    parts = ", ".join(loaded.parts) or everything
    lines = [f"{parts} of {choice.label} from {path}: {loaded}"]
    if normalisation.num_channels != RGB_CHANNELS and not has_own:
        lines.append(
            f"its first convolutions are adapted from RGB to {normalisation.num_channels} "
            "channel(s)"
        )
    record = {"file": path.name, "sha256": _checksum(path), **loaded._asdict()}
    return StartingWeights(fitted=fitted, record=record, lines=tuple(lines))


def _is_needed_again(path: Path | None, choices: Sequence[NetworkChoice], *, folder: Path) -> bool:
    """Compare the file with what the resumed run's record keeps of it, and look for a checkpoint.

    Raises:
        UsageError: If the user names another file, or none though it is needed.
    """
    record = load_record(folder)["config"].get("weights")
    if record is None:
        if path is None:
            return False
        raise UsageError(
            f"--resume --weights {path}: {folder} was started from random weights; leave --weights "
            "out, or start a new run without --resume."
        )
    with reading_record(folder):
        schema.fields({"file": schema.text, "sha256": schema.text})(record, "config.weights")
    started = f"{folder} was started from {record['file']} (SHA-256 {record['sha256'][:12]}...)"
    if path is not None and path.is_file() and _checksum(path) != record["sha256"]:
        raise UsageError(
            f"--resume --weights {path}: {started}, and this file is another one; leave --weights "
            "out, or start a new run without --resume."
        )
    if any((folder / choices[0].label).glob(CHECKPOINTS)):
        return False
    if path is None:
        raise UsageError(
            f"--resume: {started} and stopped before its first checkpoint; name that file again "
            "with --weights FILE."
        )
    return True


def _alternatives(choice: NetworkChoice, error: MisfitError) -> Iterator[tuple[NetworkChoice, str]]:
    """List networks that the file may fit, each with what the user is told if it does."""
    factor = float(error.factor)
    for width in dict.fromkeys((1.0, choice.width * factor)):
        if width != choice.width:
            yield (
                replace(choice, width=width),
                f"{choice.label} is to be built at width {choice.width:g}, and the file fits it at "
                f"width {width:g}; add --width {width:g}.",
            )
    if choice.architecture is not None:
        for multiplier in dict.fromkeys((round(choice.filter_multiplier * factor), 20, 32, 48)):
            for width in dict.fromkeys((choice.width, 1.0)):
                yield (
                    replace(choice, width=width, filter_multiplier=multiplier),
                    f"{choice.label} is to be built with filter multiplier "
                    f"{choice.filter_multiplier}, and the file fits it with {multiplier}; add "
                    f"--filter-multiplier {multiplier} --width {width:g}.",
                )
    if choice.name is not None and error.encoder:
        label = NamedNetwork(choice.name, choice.encoder).label
        for network in _networks_over(error.encoder, like=label):
            words = network.name
            if network.encoder is not None:
                words += f" --encoder {network.encoder}"
            yield (
                replace(choice, **network._asdict(), label=network.label, width=error.width),
                f"it is a file of {error.encoder}, and {label} is built on another encoder; "
                f"{network.label} takes it: use --network {words} --width {error.width:g}.",
            )


def _networks_over(encoder: str, *, like: str) -> list[NamedNetwork]:
    """List networks that may be built on an encoder, those first whose names begin like another."""

    def distance(network: NamedNetwork) -> tuple[int, int]:
        pairs = zip(network.label, like, strict=False)
        num_alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return -num_alike, len(network.label)

    # Networks over VGG with batch norm do not say so in their names.
    word = encoder.removesuffix("_bn")
    networks = [NamedNetwork(name) for name in NETWORKS if word in name] + pairs_over(encoder)
    return sorted((network for network in networks if network.label != like), key=distance)


def _fit(
    choice: NetworkChoice, file: WeightFile, *, num_classes: int, normalisation: Normalisation
) -> FittedWeights:
    """Fit the file to a network that is described, and not filled with numbers."""
    build = partial(choice.build, normalisation=normalisation)
    with weightless():
        network = build(num_classes)
    return fit_file(network, file, build=build)


def _fits(
    choice: NetworkChoice,
    file: WeightFile,
    *,
    num_classes: int,
    normalisation: Normalisation = IMAGENET,
) -> bool:
    build = partial(choice.build, normalisation=normalisation)
    try:
        with weightless():
            network = build(num_classes)
    except UsageError:  # a file may suggest a width that no network has
        return False
    return fits(network, file, build=build)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
