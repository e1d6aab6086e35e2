"""What rows of a comparison share that may stand in one table."""

from collections.abc import Sequence
from typing import NamedTuple


class GroupKey(NamedTuple):
    """What rows must agree on to stand in one table."""

    dataset: str
    split: str
    num_classes: int
    image_size: tuple[int, int]
    """Height and width that no image of the split exceeds, nor its label, in pixels."""
    input_size: tuple[int, int]
    """Height and width of what the network sees of such an image, which may be resized."""
    batch_size: int = 1
    """Images a call, of latency and memory."""
    timed_size: tuple[int, int] | None = None
    """Height and width of the images that costs are measured on; None: the largest."""

    def heading(self, heights: Sequence[int], widths: Sequence[int]) -> str:
        """Describe the group.

        Args:
            heights: Heights of its images, in pixels, in any order; empty if they are not known.
            widths: Their widths, likewise.
        """
        is_known = bool(heights and widths)
        is_mixed = is_known and len({*heights}) * len({*widths}) > 1
        text = f"{self.dataset} {self.split}, {self.num_classes} classes, images "
        if is_known:
            text += f"{_range_text(heights)} x {_range_text(widths)}"
        else:
            text += f"up to {size_text(self.image_size)}"
        if self.input_size != self.image_size:
            up_to = "" if is_known and not is_mixed else "up to "
            text += f", network input {up_to}{size_text(self.input_size)}"
        if self.timed_size is not None or is_mixed:
            text += f", costs at {size_text(self.timed_size or self.image_size)}"
        if self.batch_size > 1:
            text += f", times and memory of {self.batch_size} images a call"
        return text


def _range_text(sides: Sequence[int]) -> str:
    low, high = min(sides), max(sides)
    return f"{low}" if low == high else f"{low}-{high}"


def size_text(size: tuple[int, int]) -> str:
    """Write height and width: (96, 128) becomes "96 x 128"."""
    return f"{size[0]} x {size[1]}"
