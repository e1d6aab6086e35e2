"""Which label marks pixels without a class: one decision for all label images of a request."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.data.labels import read_labels
from autoseg.errors import FileError

USUAL_VOID = 255
"""The label that PASCAL VOC, Cityscapes and most later datasets leave out."""

_MAX_NUMBERS = 257  # 256 classes and void; a file with more is refused when its turn comes


@dataclass(frozen=True, kw_only=True, slots=True)
class VoidLabels:
    """The labels without a class, and why."""

    values: tuple[int, ...]
    """The labels; empty if every label is a class."""
    reason: str
    """A sentence for the user; empty where there is nothing to tell."""


def usual_void(
    label_sets: Iterable[frozenset[int]], *, num_classes: int | None, zero_unsure: bool
) -> VoidLabels:
    """Tell whether 255 is void where the user has not said so.

    It is where `num_classes` leaves it out, or where it occurs beside at least two other labels in
    the files together: the 255 of one image is then no class in any, though another image may hold
    a single label beside it. In masks of two labels it is a class.

    Args:
        label_sets: The labels that occur in each file; only as many are taken as decide.
        num_classes: As the user gave it; None if the labels that occur are the classes.
        zero_unsure: Whether 0 is void.
    """
    if num_classes is not None:
        return VoidLabels(values=(USUAL_VOID,) if num_classes <= USUAL_VOID else (), reason="")
    seen: set[int] = set()
    for labels in label_sets:
        seen |= labels
        others = sorted(seen - {USUAL_VOID} - ({0} if zero_unsure else set()))
        if USUAL_VOID in seen and len(others) >= 2:
            return VoidLabels(
                values=(USUAL_VOID,),
                reason=f"label {USUAL_VOID} is void, that is no class: it occurs beside "
                f"{others[0]}, {others[1]} and perhaps more; --void none makes it a class.",
            )
    reason = ""
    if USUAL_VOID in seen:
        reason = (
            f"label {USUAL_VOID} is a class: fewer than two others occur; --void {USUAL_VOID} "
            "makes it void."
        )
    return VoidLabels(values=(), reason=reason)


def labels_that_occur(paths: Sequence[Path]) -> Iterator[frozenset[int]]:
    """Read the labels of each file; one that cannot be used is passed over."""
    for path in paths:
        try:
            numbers = np.unique(read_labels(path).labels)
        except (FileError, OSError):
            continue  # named when its turn comes
        if len(numbers) <= _MAX_NUMBERS:
            yield frozenset(numbers.tolist())
