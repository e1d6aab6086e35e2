"""Which images of a split stand for all of it."""

import warnings

from autoseg.contract import SegmentationDataset


def spread_indices(length: int, count: int) -> list[int]:
    """Choose `count` indices evenly spread over `length`; all of them if `count` is 0 or larger."""
    if count == 0 or count >= length:
        return list(range(length))
    return [index * length // count for index in range(count)]


NUM_CHECKED = 64
"""Labels of a split that are read before a training begins."""


def checked_indices(length: int) -> list[int]:
    """Choose the samples whose labels are checked before a training begins.

    They are the first, the last and others evenly spread between, at most `NUM_CHECKED`: always the
    same ones, a second or two of reading however large the split is. A numbering that is not the
    dataset's shows in any of them; a single wrong label may be met by the training alone.
    """
    return sorted({*spread_indices(length, NUM_CHECKED - 1), length - 1})


def labelled_indices(dataset: SegmentationDataset, count: int) -> list[int]:
    """Choose images to score a network on, evenly spread, of which at least one has labels.

    Args:
        dataset: The split.
        count: Images to choose; 0 for all.

    Returns:
        Indices, ascending: those of `spread_indices`, unless no pixel of these images is labelled
        and there are others; then images that have labels, evenly spread.

    Warns:
        UserWarning: If other images are taken, or if no image has a labelled pixel, so that every
            score will be undefined.
    """
    chosen = spread_indices(len(dataset), count)
    if any(_has_labels(dataset, index) for index in chosen):  # as a rule the first one read
        return chosen
    place = f"the {dataset.split} split of {dataset.name}"
    labelled = [index for index in range(len(dataset)) if _has_labels(dataset, index)]
    if not labelled:
        warnings.warn(
            f"no pixel of {place} is labelled (all are {dataset.ignore_index}, which is left out): "
            "scores on it are undefined.",
            stacklevel=2,
        )
        return chosen
    others = [labelled[place] for place in spread_indices(len(labelled), count)]
    warnings.warn(
        f"none of the {len(chosen)} images of {place} that were to be scored has a labelled pixel; "
        f"{len(others)} of the {len(labelled)} that have some are taken instead.",
        stacklevel=2,
    )
    return others


def _has_labels(dataset: SegmentationDataset, index: int) -> bool:
    return bool((dataset[index].target != dataset.ignore_index).any())
