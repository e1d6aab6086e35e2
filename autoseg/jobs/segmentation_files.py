"""Segmentations in files: labels as PNG, probabilities or logits as NumPy arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from autoseg.errors import UsageError

ARRAY_SUFFIXES = (".npy", ".npz")
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")

_SUM_TOLERANCE = 0.01  # of probabilities, which may come in half precision
_MIN_PROBABILITY = 1e-5  # as in pydensecrf; a probability of 0 would have no logarithm
_PALETTE_BITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFile:
    """Class numbers and how the file shows them."""

    labels: NDArray[np.int64]
    """(H, W)."""
    palette: NDArray[np.uint8] | None
    """Colours of the numbers, RGB, (256, 3); None for a grey file."""


def read_labels(path: Path) -> LabelFile:
    """Read a label image: one channel, palette or grey, whose values are class numbers.

    Raises:
        UsageError: If the file cannot be read or has several channels.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1", "I;16", "I"):
                raise UsageError(
                    f"{path} has mode {image.mode}, that is colours or transparency; labels are "
                    "class numbers in one channel: save them as a palette or grey PNG."
                )
            palette = image.getpalette("RGB") if image.mode == "P" else None
            labels = np.asarray(image).astype(np.int64)
    except UnidentifiedImageError:
        raise UsageError(f"{path} is not an image that can be read.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    if palette is None:
        return LabelFile(labels=labels, palette=None)
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette) // 3] = np.array(palette, dtype=np.uint8).reshape(-1, 3)
    return LabelFile(labels=labels, palette=colours)


def logits_of_labels(
    labels: NDArray[np.int64],
    *,
    num_classes: int | None,
    confidence: float,
    zero_unsure: bool,
    where: str,
) -> NDArray[np.float32]:
    """Turn labels into log probabilities, as pydensecrf's `unary_from_labels` does.

    Args:
        labels: Class numbers, (H, W): 0 to K - 1; with `zero_unsure` 1 to K, and 0 where unsure.
        num_classes: K, at least 2; None counts up to the largest label.
        confidence: Probability of the label's class, in (0, 1); the others share the rest. An
            unsure pixel gives each class 1 / K.
        zero_unsure: Whether 0 means unsure.
        where: The file, for messages.

    Returns:
        float32, (K, H, W).

    Raises:
        UsageError: If a number is out of range.
    """
    if not 0 < confidence < 1:
        raise UsageError(
            f"--confidence is {confidence}; it must lie between 0 and 1 (0.7 in pydensecrf)."
        )
    first = 1 if zero_unsure else 0
    lowest, highest = int(labels.min()), int(labels.max())
    if num_classes is None:
        num_classes = max(2, highest + 1 - first)
    if num_classes < 2:
        raise UsageError(f"--num-classes is {num_classes}; it must be at least 2.")
    if lowest < 0 or highest > num_classes - 1 + first:
        raise UsageError(
            f"{where} holds label {lowest if lowest < 0 else highest}; with {num_classes} classes "
            f"labels are {first} to {num_classes - 1 + first}. Give --num-classes "
            f"{highest + 1 - first}; or, if that value marks pixels without a class, number the "
            "classes from 1, set those pixels to 0 and give --zero-unsure."
        )
    if confidence <= 1 / num_classes:
        raise UsageError(
            f"--confidence {confidence} is not above 1 / {num_classes}, so that every other class "
            "would be as likely as the label."
        )
    others = np.float32(np.log((1 - confidence) / (num_classes - 1)))
    logits = np.full((num_classes, *labels.shape), others, dtype=np.float32)
    rows, columns = np.nonzero(labels >= first)
    logits[labels[rows, columns] - first, rows, columns] = np.log(confidence)
    logits[:, labels < first] = -np.log(num_classes)
    return logits


def read_scores(path: Path, *, are_logits: bool) -> NDArray[np.float32]:
    """Read probabilities or logits (K, H, W) as logits.

    Probabilities are clipped at 1e-5 before the logarithm, as pydensecrf's `unary_from_softmax`
    does.

    Raises:
        UsageError: If the file cannot be read or does not hold what is described.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a NumPy array: {error}.") from None
    if isinstance(loaded, np.ndarray):
        array = loaded
    else:
        names = list(loaded.files)
        if len(names) != 1:
            raise UsageError(f"{path} holds {len(names)} arrays ({', '.join(names)}); save one.")
        array = loaded[names[0]]
    if array.ndim != 3 or array.shape[0] < 2 or array.size == 0:
        raise UsageError(
            f"{path} has shape {array.shape}; it must be (K, H, W) with K >= 2 classes. "
            "array[0] takes the first of a batch, np.moveaxis(array, -1, 0) puts the classes first."
        )
    if array.dtype.kind not in "fiu":
        raise UsageError(f"{path} is {array.dtype}; it must hold numbers.")
    scores = array.astype(np.float32)
    if not np.isfinite(scores).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(scores))[0])
        raise UsageError(
            f"{path} holds infinite values or nan, first at class {place[0]}, row {place[1]}, "
            f"column {place[2]}."
        )
    if are_logits:
        return scores
    sums = scores.sum(axis=0)
    if scores.min() < 0 or np.abs(sums - 1).max() > _SUM_TOLERANCE:
        raise UsageError(
            f"{path} does not hold probabilities: values are {scores.min():.4g} to "
            f"{scores.max():.4g}, sums over the classes {sums.min():.4g} to {sums.max():.4g}. "
            "If they are logits, give --logits."
        )
    return np.log(scores.clip(_MIN_PROBABILITY, 1))


def default_palette() -> NDArray[np.uint8]:
    """Return a colour for each of 256 numbers, RGB, (256, 3): neighbours differ most.

    The bits of the number are dealt to red, green and blue in turn, highest bit of the colour
    first, as in the label images of PASCAL VOC.
    """
    numbers = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(_PALETTE_BITS):
        channel, level = bit % 3, 7 - bit // 3
        palette[:, channel] |= (((numbers >> bit) & 1) << level).astype(np.uint8)
    return palette


def pair_files(image: Path, segmentation: Path, *, images: Sequence[Path]) -> list[Path]:
    """Find the segmentation of each image.

    Args:
        image: What the user named: a file or a folder.
        segmentation: A file for a file; for a folder one that holds, for each image, a file of
            the same name but for its ending.
        images: The image files.

    Raises:
        UsageError: If a file is missing or ambiguous.
    """
    if not segmentation.exists():
        raise UsageError(f"{segmentation} does not exist.")
    if image.is_dir() != segmentation.is_dir():
        raise UsageError(
            f"{image} and {segmentation} must both be files, or both be folders whose files share "
            "their names."
        )
    if not image.is_dir():
        return [segmentation]
    paired = []
    for path in images:
        candidates = [
            candidate
            for suffix in (*ARRAY_SUFFIXES, *LABEL_SUFFIXES)
            if (candidate := segmentation / f"{path.stem}{suffix}").exists()
        ]
        if len(candidates) != 1:
            found = ", ".join(str(candidate) for candidate in candidates) or "none"
            raise UsageError(
                f"{path} needs one segmentation in {segmentation}, {path.stem} with one of "
                f"{', '.join((*ARRAY_SUFFIXES, *LABEL_SUFFIXES))}; found: {found}."
            )
        paired += candidates
    return paired
