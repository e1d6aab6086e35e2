"""Segmentations in files, for the CRF: labels as PNG, probabilities or logits as NumPy arrays."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.data.arrays import ARRAY_SUFFIXES, read_array
from autoseg.errors import FileError, UsageError
from autoseg.foreign_text import listed

LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")

MIN_CLASSES = 2
"""Fewest classes of a label image. A CRF needs a second one, which no pixel of an image of a single
label will take."""

MAX_CLASSES = 256
"""Numbers that an 8-bit label image can show."""

_SUM_TOLERANCE = 0.01  # of probabilities, which may come in half precision
_MIN_PROBABILITY = 1e-5  # as in pydensecrf; a probability of 0 would have no logarithm


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelScores:
    """Labels as scores of classes."""

    logits: NDArray[np.float32]
    """(K, H, W)."""
    values: NDArray[np.int64]
    """Number that files show for each class, (K,)."""
    is_void: NDArray[np.bool_]
    """Whether a pixel has no class of its own, (H, W)."""


def scores_of_labels(
    labels: NDArray[np.int64],
    *,
    num_classes: int | None,
    confidence: float,
    zero_unsure: bool,
    void: Sequence[int],
    where: str,
) -> LabelScores:
    """Turn labels into log probabilities, as pydensecrf's `unary_from_labels` does.

    Args:
        labels: Numbers, (H, W).
        num_classes: K, at least 2: the classes are the numbers 0 to K - 1, or 1 to K with
            `zero_unsure`. None: the classes are the numbers that occur, so that a mask of 0 and 255
            has two.
        confidence: Probability of the label's class, in (0, 1); the others share the rest. A void
            pixel gives each class 1 / K.
        zero_unsure: Whether 0 is void.
        void: Numbers of pixels without a class, as `autoseg.data.void_labels` finds them.
        where: The file, for messages.

    Raises:
        UsageError: If a setting is out of range.
        FileError: If a number is out of range, too many numbers occur, or `confidence` is not above
            1 / K.
    """
    if not 0 < confidence < 1:
        raise UsageError(
            f"--confidence is {confidence}; it must lie between 0 and 1 (0.7 in pydensecrf)."
        )
    if num_classes is not None and not 2 <= num_classes <= MAX_CLASSES:
        raise UsageError(f"--num-classes is {num_classes}; it must be 2 to {MAX_CLASSES}.")
    present = np.unique(labels)
    without_class = {*void, *((0,) if zero_unsure else ())}
    present = present[~np.isin(present, list(without_class))]
    first = 1 if zero_unsure else 0
    if num_classes is None:
        values = _classes_that_occur(present, where)
    else:
        values = np.arange(first, first + num_classes)
        beyond = present[~np.isin(present, values)]
        if len(beyond):
            raise FileError(
                f"{where} holds label {beyond[-1]}; with {num_classes} classes labels are {first} "
                f"to {values[-1]}. If that number marks pixels without a class, give --void "
                f"{beyond[-1]}; without --num-classes the numbers that occur are the classes."
            )
    num_classes = len(values)
    if confidence <= 1 / num_classes:
        raise FileError(
            f"{where} has {num_classes} classes; --confidence {confidence} is not above 1 / "
            f"{num_classes}, so that every other class would be as likely as the label."
        )
    is_void = np.isin(labels, list(without_class))
    others = np.float32(np.log((1 - confidence) / (num_classes - 1)))
    logits = np.full((num_classes, *labels.shape), others, dtype=np.float32)
    rows, columns = np.nonzero(~is_void)
    classes = np.searchsorted(values, labels[rows, columns])
    logits[classes, rows, columns] = np.log(confidence)
    logits[:, is_void] = -np.log(num_classes)
    return LabelScores(logits=logits, values=values, is_void=is_void)


def _classes_that_occur(present: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    if len(present) > MAX_CLASSES:
        raise FileError(
            f"{where} holds {len(present):,} different numbers, more than {MAX_CLASSES} classes; "
            "is it a photograph?"
        )
    if len(present) == 0:
        return np.array([0, 1])
    if len(present) == 1:  # a CRF needs a second class, which no pixel will take
        return np.array([present[0], present[0] + 1])
    return present


def read_scores(
    path: Path, *, are_logits: bool, size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Read probabilities or logits (K, H, W) as logits.

    Probabilities are clipped at 1e-5 before the logarithm, as pydensecrf's `unary_from_softmax`
    does.

    Args:
        path: A .npy file, or a .npz file of one array.
        are_logits: Whether the array holds logits, not probabilities.
        size: Height and width that the array must have; None takes any. An array of another size is
            refused before it is read.

    Raises:
        FileError: If the file cannot be read or does not hold what is described.
        OSError: If it is not there or may not be read.
    """
    array = read_array(path, check_shape=lambda shape: _check_shape(path, shape, size))
    scores = array.astype(np.float32)
    if not np.isfinite(scores).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(scores))[0])
        raise FileError(
            f"{path} holds infinite values or nan, first at class {place[0]}, row {place[1]}, "
            f"column {place[2]}."
        )
    if are_logits:
        return scores
    sums = scores.sum(axis=0)
    if scores.min() < 0 or np.abs(sums - 1).max() > _SUM_TOLERANCE:
        raise FileError(
            f"{path} does not hold probabilities: values are {scores.min():.4g} to "
            f"{scores.max():.4g}, sums over the classes {sums.min():.4g} to {sums.max():.4g}. "
            "If they are logits, give --logits."
        )
    return np.log(scores.clip(_MIN_PROBABILITY, 1))


def _check_shape(path: Path, shape: tuple[int, ...], size: tuple[int, int] | None) -> None:
    if len(shape) == 2 or (size is not None and shape in ((1, *size), (*size, 1))):
        raise FileError(
            f"{path} has shape {shape}, one number a pixel, as labels or the scores of one class "
            "have; wanted are scores (K, H, W) of K >= 2 classes. Save labels as an image: "
            "Image.fromarray(array.squeeze().astype(np.uint8)).save('labels.png')."
        )
    if len(shape) == 4:
        raise FileError(
            f"{path} has shape {shape}, as a batch has; wanted are the scores (K, H, W) of one "
            "image: array[0] takes the first."
        )
    if len(shape) != 3 or 0 in shape:
        raise FileError(f"{path} has shape {shape}; wanted are scores (K, H, W) of K >= 2 classes.")
    is_classes_last = shape[2] < min(shape[:2]) if size is None else shape[:2] == size != shape[1:]
    if is_classes_last:
        raise FileError(
            f"{path} has shape {shape}, which looks like (H, W, K); it must be (K, H, W): "
            "np.moveaxis(array, -1, 0) puts the classes first."
        )
    if size is not None:
        check_size(path, shape[1:], size)
    if not 2 <= shape[0] <= MAX_CLASSES:
        raise FileError(
            f"{path} has shape {shape}, that is {shape[0]} classes; there must be K >= 2 and at "
            f"most {MAX_CLASSES}, which is what an 8-bit PNG can show. autoseg.crf.DenseCRF takes "
            "more in Python."
        )


def check_size(path: Path, size: Sequence[int], image_size: tuple[int, int]) -> None:
    """Refuse a segmentation whose height and width are not its image's.

    Args:
        path: The segmentation's file.
        size: Height and width of the segmentation.
        image_size: Height and width of the image, as shown.

    Raises:
        FileError: If they differ.
    """
    height, width = image_size
    if tuple(size) == image_size:
        return
    if tuple(size) == (width, height):
        remedy = "height and width are swapped: transpose the segmentation"
    else:
        remedy = (
            f"resize the segmentation to {height} x {width}: labels by nearest neighbour, "
            "probabilities and logits bilinearly"
        )
    raise FileError(
        f"{path} is {size[0]} x {size[1]} (height x width), but its image is {height} x {width}; "
        f"{remedy}."
    )


def pair_files(image: Path, segmentation: Path, *, images: Sequence[Path]) -> list[Path]:
    """Find the segmentation of each image.

    Args:
        image: What the user named: a file or a folder.
        segmentation: A file for a file; for a folder one that holds, for each image, a file of
            the same name but for its ending, in small or capital letters.
        images: The image files.

    Raises:
        UsageError: If files are missing or ambiguous; counts all and names the first.
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
    by_name: dict[str, list[Path]] = {}
    for path in sorted(segmentation.iterdir()):
        if path.suffix.lower() in (*ARRAY_SUFFIXES, *LABEL_SUFFIXES):
            by_name.setdefault(_name(path), []).append(path)
    candidates = [by_name.get(_name(path), []) for path in images]
    wrong = [
        f"{path.name} ({listed([each.name for each in found]) or 'none'})"
        for path, found in zip(images, candidates, strict=True)
        if len(found) != 1
    ]
    if wrong:
        raise UsageError(
            f"{len(wrong):,} of {len(images):,} images in {image} have not one segmentation in "
            f"{segmentation}, that is a file of their name with one of "
            f"{', '.join((*ARRAY_SUFFIXES, *LABEL_SUFFIXES))}. Found for {listed(wrong)}."
        )
    return [path for found in candidates for path in found]


def _name(path: Path) -> str:
    """Return a file's name without its ending, the same for both ways to write an accent."""
    return unicodedata.normalize("NFC", path.stem)
