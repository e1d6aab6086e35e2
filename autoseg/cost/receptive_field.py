"""How much of an image a pixel of the output can see."""

from dataclasses import dataclass

from torch import Tensor, nn

from autoseg.cost.reach import reached_pixels

_LARGE = 4096  # pixels of a side
_NARROW = 64  # pixels of the other side
_PHASE = 128  # pixels by which sides grow, so that the centre moves by a multiple of all strides


@dataclass(frozen=True, kw_only=True, slots=True)
class TheoreticalField:
    """The box around the pixels that the central pixel of the output can depend on."""

    height: int | None
    """Rows, in pixels; None if it is all rows of every image."""
    width: int | None
    """Columns, in pixels; None if it is all columns of every image."""
    box: tuple[int, int, int, int]
    """Top, left, bottom and right in the image that was asked for, which may cut it; bottom and
    right are the first row and column behind it."""
    unknown: tuple[str, ...]
    """Operators whose reading is not known, so that they are taken to read all of their inputs."""

    def __str__(self) -> str:
        """Write height and width, or that it is the whole image."""
        if self.height is None and self.width is None:
            return WHOLE_IMAGE
        height = "whole height" if self.height is None else str(self.height)
        width = "whole width" if self.width is None else str(self.width)
        return f"{height} x {width}"


WHOLE_IMAGE = "whole image"
"""How a field without bounds is called."""


def theoretical_field(
    network: nn.Module, image_size: tuple[int, int], *, device: str = "meta"
) -> TheoreticalField:
    """Follow the central pixel of the output back to all that it can depend on.

    Each side is measured in an image of 4096 pixels or more in that direction, since a smaller one
    cuts the field, also unseen, where a rate leaves its outer taps beyond the border. A field that
    reaches the border even there is the whole image, as it is behind any global pooling.

    Args:
        network: Maps images (1, C, H, W) to logits (1, K, h, w); not touched.
        image_size: Height and width of the image, in pixels.
        device: "meta" to work with shapes alone, or a real device.

    Raises:
        ValueError: If the size holds no pixel, or the output is no map (1, K, h, w).
        RuntimeError: If the network cannot run on that device.

    Source: for what it is, Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural
    Networks" (Distill), whose recursion for chains of convolutions gives the same.
    """
    reached = reached_pixels(network, image_size, device=device)
    (top, bottom), (left, right) = (_bounds(reached.mask.any(dim)) for dim in (1, 0))
    sides = [_side(network, image_size, axis=axis, device=device) for axis in (0, 1)]
    return TheoreticalField(
        height=sides[0],
        width=sides[1],
        box=(top, left, bottom, right),
        unknown=reached.unknown,
    )


def _side(network: nn.Module, image_size: tuple[int, int], *, axis: int, device: str) -> int | None:
    """Measure one side of the field in an image that is large in that direction."""
    size = list(image_size)
    size[axis] += _PHASE * -(-max(_LARGE - size[axis], _PHASE) // _PHASE)
    narrow = list(size)
    narrow[1 - axis] = min(size[1 - axis], _NARROW)
    for height, width in (narrow, size):  # the other side matters to few networks
        try:
            mask = reached_pixels(network, (height, width), device=device).mask
        except RuntimeError:
            continue
        low, high = _bounds(mask.any(1 - axis))
        return high - low if low > 0 and high < size[axis] else None
    return None  # a network for one size alone sees all of it


def _bounds(reached: Tensor) -> tuple[int, int]:
    """Return the first place that is reached, and the one behind the last; (0, 0) for none."""
    places = reached.nonzero()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
