"""Images too large for one pass of a network: predicted in windows, in bounded memory.

The windows overlap, and each gives the pixels to which its borders are farthest: of an overlap,
each window gives its own half. A pixel's class therefore depends on at least half an overlap around
it, and a network that looks no farther than that gives the classes that it would give in one piece.

Source: the overlap-tile strategy of Ronneberger et al. 2015 (U-Net, arXiv 1505.04597), section 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.data.channels import ImageRegions
from autoseg.errors import UsageError
from autoseg.evaluation.predict import best_class, network_logits, require_eval_mode
from autoseg.evaluation.resizing import enlarged_part, resized_part
from autoseg.normalisation import Normalisation

ALIGNMENT = 32
"""Pixels of which windows begin at a multiple: there a network's strided maps lie alike."""

AUTO_SIZE = 1024
"""Side of the windows where nobody chose one, in pixels as the network sees them."""

MAX_VIEW_PIXELS = 2**24
"""Pixels of the view of an image up to which it is predicted in one piece, if nobody chose."""

MAX_SCORE_BYTES = 2**30
"""Bytes that the scores of an image in one piece may take, if nobody chose."""

_BLOCK_VALUES = 2**24  # scores at the image's size that are held at a time: 64 MiB


@dataclass(frozen=True, slots=True)
class Span:
    """A window along one axis."""

    start: int
    stop: int
    kept_start: int
    """From here to `kept_stop` the window gives the classes."""
    kept_stop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """How images are divided, in pixels as the network sees them."""

    size: int = AUTO_SIZE
    """Side of a window; a shorter image has one of its own length."""
    overlap: int = AUTO_SIZE // 4
    """Pixels, at least, that neighbours share."""

    @classmethod
    def sized(cls, size: int, overlap: int | None) -> "Windows":
        """Take a quarter of the size as the overlap where nobody chose one."""
        if overlap is None:
            overlap = -(-size // (4 * ALIGNMENT)) * ALIGNMENT
        return cls(size=size, overlap=overlap)

    def __post_init__(self) -> None:
        """Refuse what windows cannot be.

        Raises:
            UsageError: With the nearest numbers that they can be.
        """
        for name, value in (("window", self.size), ("overlap", self.overlap)):
            if value % ALIGNMENT or value < ALIGNMENT:
                below = max(value // ALIGNMENT, 1) * ALIGNMENT
                raise UsageError(
                    f"--{name} {value} must be a multiple of {ALIGNMENT}, at which the networks' "
                    f"maps repeat; use {below} or {below + ALIGNMENT}."
                )
        if self.overlap >= self.size:
            raise UsageError(
                f"--overlap {self.overlap} must be smaller than --window {self.size}; a quarter "
                "of it is usual."
            )

    def along(self, length: int) -> list[Span]:
        """Divide an axis: every pixel of it is kept by one window."""
        starts = [0]
        if length > self.size:
            starts = list(range(0, length - self.size, self.size - self.overlap))
            starts.append(-(-(length - self.size) // ALIGNMENT) * ALIGNMENT)
        stops = [min(start + self.size, length) for start in starts]
        borders = [(stop + start) // 2 for stop, start in zip(stops[:-1], starts[1:], strict=True)]
        kept = zip([0, *borders], [*borders, length], strict=True)
        return [
            Span(start, stop, *ends) for start, stop, ends in zip(starts, stops, kept, strict=True)
        ]

    def count(self, view_size: tuple[int, int]) -> int:
        """Count the windows of a view."""
        return len(self.along(view_size[0])) * len(self.along(view_size[1]))


def view_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return height and width of an image as the network sees it."""
    height, width = (max(1, round(scale * side)) for side in size)
    return height, width


def fits_in_one_piece(size: tuple[int, int], scale: float, *, num_classes: int) -> bool:
    """Tell whether an image is predicted in one piece where nobody chose windows."""
    score_bytes = 4 * num_classes * math.prod(size)
    return math.prod(view_size(size, scale)) <= MAX_VIEW_PIXELS and score_bytes <= MAX_SCORE_BYTES


def predict_in_windows(
    network: nn.Module,
    image: ImageRegions,
    *,
    windows: Windows,
    scale: float,
    normalisation: Normalisation,
    num_classes: int,
    device: torch.device | str,
    on_window: Callable[[int, int], None] | None = None,
) -> NDArray[np.unsignedinteger[Any]]:
    """Predict the class of every pixel, window by window.

    Memory holds, besides the image and the result, one window's maps in the network and some 64 MiB
    of scores.

    Args:
        network: In eval mode; maps (1, C, h, w) to logits (1, K, h, w) for any h and w.
        image: The image.
        windows: How its view is divided.
        scale: Factor on its sides before the network sees it.
        normalisation: How the network was trained to see pixels.
        num_classes: K.
        device: Where the network lies.
        on_window: Called after each window with the number done and in all.

    Returns:
        (H, W), uint8 of up to 256 classes, else uint16.

    Raises:
        ValueError: If the network's output does not fit.
        RuntimeError: If the network is in training mode.
    """
    require_eval_mode(network, "predict_in_windows")
    view = view_size(image.size, scale)
    pred = np.empty(image.size, dtype=np.uint8 if num_classes <= 2**8 else np.uint16)
    spans = [
        (rows, columns) for rows in windows.along(view[0]) for columns in windows.along(view[1])
    ]
    for number, (rows, columns) in enumerate(spans, start=1):
        with torch.inference_mode():
            part = _view_part(image, view, rows, columns)
            images = normalisation.from_unit(part[None].to(device) / 255)
            _paint(pred, network_logits(network, images)[0], view, rows, columns)
        if on_window is not None:
            on_window(number, len(spans))
    return pred


def _view_part(image: ImageRegions, view: tuple[int, int], rows: Span, columns: Span) -> Tensor:
    """Give a window's pixels as the network sees them, float32, (C, h, w), in [0, 255]."""
    wanted = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
    if view == image.size:
        return torch.from_numpy(image.read(*wanted)).to(torch.float32)
    return resized_part(image.read, image.size, view, *wanted, num_channels=image.num_channels)


def _paint(
    pred: NDArray[np.unsignedinteger[Any]],
    logits: Tensor,
    view: tuple[int, int],
    rows: Span,
    columns: Span,
) -> None:
    """Write the classes that a window gives; its scores at the image's size come in blocks."""
    size = pred.shape[0], pred.shape[1]
    kept_rows = _pixels_in(rows, view[0], size[0])
    kept_columns = _pixels_in(columns, view[1], size[1])
    side = max(ALIGNMENT, math.isqrt(_BLOCK_VALUES // len(logits)))
    place = rows.start, columns.start
    for top in range(kept_rows.start, kept_rows.stop, side):
        block_rows = slice(top, min(top + side, kept_rows.stop))
        for left in range(kept_columns.start, kept_columns.stop, side):
            block_columns = slice(left, min(left + side, kept_columns.stop))
            if view == size:
                down, right = block_rows.start - place[0], block_columns.start - place[1]
                scores = logits[:, down : block_rows.stop - place[0], right:]
                scores = scores[:, :, : block_columns.stop - block_columns.start]
            else:
                scores = enlarged_part(logits, place, view, size, block_rows, block_columns)
            pred[block_rows, block_columns] = best_class(scores[None])[0].cpu().numpy()


def _pixels_in(span: Span, view_length: int, length: int) -> slice:
    """Say which pixels of the image have their centres in the part that a window keeps."""
    start, stop = (
        -(-(2 * border * length - view_length) // (2 * view_length))
        for border in (span.kept_start, span.kept_stop)
    )
    return slice(start, stop)
