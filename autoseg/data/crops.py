"""Where a training crop lies: anywhere, on a class that is drawn first, or where classes mix."""

from dataclasses import dataclass

import torch
from torch import Tensor

NUM_TRIES = 10
"""Places that are tried for a crop without a class that fills it; the last one stays."""

Span = tuple[slice, tuple[int, int]]
"""The part of an axis that a crop keeps, and the padding on both sides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CropRule:
    """How a crop is placed."""

    class_uniform: float = 0.0
    """Share of the crops that hold a pixel of a class drawn uniformly from those of the image."""
    category_cap: float = 1.0
    """Share of a crop's labelled pixels that one class may have; 1 is off."""

    def place(
        self,
        target: Tensor,
        crop_size: tuple[int, int],
        draws: tuple[float, float],
        generator: torch.Generator,
        *,
        ignore_index: int,
    ) -> tuple[Span, Span]:
        """Choose rows and columns of a crop.

        Args:
            target: Classes, (H, W).
            crop_size: Height and width of the crop.
            draws: Where it lies if no rule decides, each in [0, 1).
            generator: For whatever a rule draws.
            ignore_index: Label of pixels without a class.

        Source: the cap is `cat_max_ratio` of mmsegmentation; uniform classes, among images as well,
        Zhu et al. 2019 (arXiv 1812.01593), section 3.2.
        """
        rows, columns = _anywhere(target, crop_size, draws)
        if self.class_uniform > 0 and _draw(generator) < self.class_uniform:
            found = _on_a_class(target, crop_size, draws, generator, ignore_index)
            return (rows, columns) if found is None else found
        if self.category_cap < 1:
            for _ in range(NUM_TRIES - 1):
                crop = target[rows[0], columns[0]]
                if _largest_share(crop, ignore_index) <= self.category_cap:
                    break
                draws = (_draw(generator), _draw(generator))
                rows, columns = _anywhere(target, crop_size, draws)
        return rows, columns


ANYWHERE = CropRule()
"""No place is better than another."""


def _anywhere(
    target: Tensor, crop_size: tuple[int, int], draws: tuple[float, float]
) -> tuple[Span, Span]:
    height, width = target.shape
    return span(height, crop_size[0], draws[0]), span(width, crop_size[1], draws[1])


def span(length: int, crop: int, draw: float) -> Span:
    """Place a crop on one axis; where the axis is shorter, place the axis in the crop."""
    if length >= crop:
        start = int(draw * (length - crop + 1))
        return slice(start, start + crop), (0, 0)
    before = int(draw * (crop - length + 1))
    return slice(0, length), (before, crop - length - before)


def _on_a_class(
    target: Tensor,
    crop_size: tuple[int, int],
    draws: tuple[float, float],
    generator: torch.Generator,
    ignore_index: int,
) -> tuple[Span, Span] | None:
    """Draw a class, then a pixel of it, then a crop that holds the pixel; None without a class."""
    classes = target.unique()
    classes = classes[classes != ignore_index]
    if len(classes) == 0:
        return None
    chosen = classes[int(_draw(generator) * len(classes))]
    pixels = (target == chosen).flatten().nonzero()[:, 0]
    pixel = int(pixels[int(_draw(generator) * len(pixels))])
    row, column = divmod(pixel, target.shape[1])
    height, width = target.shape
    return (
        _span_around(row, height, crop_size[0], draws[0]),
        _span_around(column, width, crop_size[1], draws[1]),
    )


def _span_around(place: int, length: int, crop: int, draw: float) -> Span:
    """Place a crop on one axis so that it holds a pixel."""
    if length < crop:
        return span(length, crop, draw)
    first, last = max(0, place - crop + 1), min(place, length - crop)
    start = first + int(draw * (last - first + 1))
    return slice(start, start + crop), (0, 0)


def _largest_share(crop: Tensor, ignore_index: int) -> float:
    labelled = crop[crop != ignore_index]
    if labelled.numel() == 0:
        return 1.0
    return int(labelled.bincount().max()) / labelled.numel()


def _draw(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))
