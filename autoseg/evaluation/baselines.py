"""What can be scored without any network: one class everywhere, or each pixel by its colour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.data import SegmentationDataset, spread_indices
from autoseg.metrics import ConfusionMatrix, best_constant

MAX_IMAGES = 32
"""Images of each split that are looked at, evenly spread."""

_MAX_PIXELS = 2**16  # of an image; more are thinned out evenly
_FEW_CLASSES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Baselines:
    """Scores to beat, on some images of val, learnt from some of train."""

    constant_class: str
    """Class that scores best when it is predicted everywhere."""
    constant_miou: float
    """Mean IoU of `constant_class` everywhere; NaN if no pixel of the images has a class."""
    colour_miou: float
    """Mean IoU of a table from each pixel's colour to the class that has it most often in train."""
    dominant_class: str
    """Most frequent class of train."""
    dominant_share: float
    """Share of `dominant_class` in train's labelled pixels; NaN if there is none."""


def measure_baselines(
    train: SegmentationDataset, val: SegmentationDataset, *, val_indices: Sequence[int]
) -> Baselines:
    """Count colours and classes of some images; takes no more than a second or two.

    Args:
        train: Where the table is learnt.
        val: Where it is scored.
        val_indices: Images of val to choose from.
    """
    table, counts = _learn(train)
    confusion = ConfusionMatrix(val.num_classes, val.ignore_index)
    chosen = [val_indices[place] for place in spread_indices(len(val_indices), MAX_IMAGES)]
    for index in chosen:
        colours, target = _thinned(val, index)
        confusion.update(table[colours], target)
    is_defined = confusion.num_pixels > 0
    constant, constant_miou = best_constant(confusion) if is_defined else (0, math.nan)
    dominant, num_labelled = int(counts.argmax()), int(counts.sum())
    return Baselines(
        constant_class=val.class_names[constant],
        constant_miou=constant_miou,
        colour_miou=confusion.mean_iou() if is_defined else math.nan,
        dominant_class=train.class_names[dominant],
        dominant_share=int(counts[dominant]) / num_labelled if num_labelled else math.nan,
    )


def _learn(train: SegmentationDataset) -> tuple[Tensor, Tensor]:
    """Find the most frequent class of each colour, and the pixels of each class.

    Returns:
        The table, int64, (num_colours,), whose unseen colours have the most frequent class; and
        the counts, (K,).
    """
    num_colours = 256 if train.num_channels < 3 else 2 ** (3 * _num_bits(train))
    counts = torch.zeros(num_colours * train.num_classes, dtype=torch.int64)
    for index in spread_indices(len(train), MAX_IMAGES):
        colours, target = _thinned(train, index)
        is_labelled = target != train.ignore_index
        pairs = colours[is_labelled] * train.num_classes + target[is_labelled]
        counts += torch.bincount(pairs, minlength=len(counts))
    by_colour = counts.view(num_colours, train.num_classes)
    by_class = by_colour.sum(dim=0)
    table = by_colour.argmax(dim=1)
    table[by_colour.sum(dim=1) == 0] = by_class.argmax()
    return table, by_class


def _thinned(dataset: SegmentationDataset, index: int) -> tuple[Tensor, Tensor]:
    """Return the colour number and class of pixels on an even grid, (h, w) each."""
    sample = dataset[index]
    step = max(1, math.ceil(math.sqrt(sample.target.numel() / _MAX_PIXELS)))
    target = sample.target[::step, ::step]
    if dataset.num_channels < 3:
        return sample.image[0, ::step, ::step].long(), target
    bits = _num_bits(dataset)
    red, green, blue = (sample.picture[:, ::step, ::step] >> (8 - bits)).long()
    return (red << 2 * bits) | (green << bits) | blue, target


def _num_bits(dataset: SegmentationDataset) -> int:
    """Choose how finely colours are told apart: the table has a column a class."""
    return 5 if dataset.num_classes <= _FEW_CLASSES else 4
