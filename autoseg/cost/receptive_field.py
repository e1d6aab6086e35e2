"""How much of an image a pixel of the output sees: what it can see, and what it does see."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.cost.reach import reached_pixels

EFFECTIVE_SHARE = 1 - 0.9545
"""Share of the largest gradient above which a pixel belongs to the effective field."""

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
    network: nn.Module, image_size: tuple[int, int], *, device: str | None = None
) -> TheoreticalField:
    """Follow the central pixel of the output back to all that it can depend on.

    Each side is measured in an image of 4096 pixels or more in that direction, since a smaller one
    cuts the field, also unseen, where a rate leaves its outer taps beyond the border. A field that
    reaches the border even there is the whole image, as it is behind any global pooling.

    Args:
        network: Maps images (1, C, H, W) to logits (1, K, h, w); not touched.
        image_size: Height and width of the image, in pixels.
        device: "meta" to work with shapes alone, or a real device; None takes "meta" where the
            network runs on it, and "cpu" elsewhere.

    Raises:
        ValueError: If the size holds no pixel, or the output is no map (1, K, h, w).
        RuntimeError: If the network cannot run on that device.

    Source: for what it is, Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural
    Networks" (Distill), whose recursion for chains of convolutions gives the same.
    """
    if device is None:
        try:
            return theoretical_field(network, image_size, device="meta")
        except RuntimeError:  # it needs values beside shapes
            device = "cpu"
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


def effective_field(
    network: nn.Module, images: Iterable[Tensor], *, size: tuple[int, int]
) -> Tensor:
    """Average how strongly each pixel moves the score of the class predicted at the centre.

    Args:
        network: Maps images (1, C, H, W) to logits (1, K, h, w), in eval mode. The score is that
            of the best class in row h // 2 and column w // 2.
        images: Normalised images (C, H, W) on the network's device, one after the other.
        size: Height and width of the result; the centres of smaller images are laid on its own.

    Returns:
        float64, (*size), on the CPU: the absolute derivative, summed over the channels, mean over
        the images.

    Raises:
        ValueError: If there is no image, one is larger than the result, or the output is no map
            (1, K, h, w).
        RuntimeError: If the network cannot run or be differentiated, or a gradient is not finite.

    Source: Luo et al. 2016, "Understanding the Effective Receptive Field in Deep Convolutional
    Neural Networks" (arXiv 1701.04128), section 2; there the output has one channel.
    """
    total, num_images = torch.zeros(size, dtype=torch.float64), 0
    for image in images:
        strength = _strength(network, image)
        height, width = strength.shape
        if height > size[0] or width > size[1]:
            raise ValueError(
                f"effective field: an image has {height} x {width} pixels, more than the "
                f"{size[0]} x {size[1]} of the result; give a size that holds all images."
            )
        top, left = size[0] // 2 - height // 2, size[1] // 2 - width // 2
        total[top : top + height, left : left + width] += strength
        num_images += 1
    if not num_images:
        raise ValueError("effective field: no image; it is a mean over one or more.")
    return total / num_images


def effective_side(field: Tensor) -> float:
    """Return the side of a square as large as the effective field, in pixels.

    Args:
        field: From `effective_field`, (H, W).

    Returns:
        The root of the number of pixels above 1 - 95.45 % of the maximum; 0 if all are 0.

    Source: Luo et al. 2016 (arXiv 1701.04128), section 3.
    """
    return float((field > EFFECTIVE_SHARE * field.max()).sum().item() ** 0.5)


def _strength(network: nn.Module, image: Tensor) -> Tensor:
    """Return the absolute derivative of the best score at the centre, float64, (H, W)."""
    name = type(network).__name__
    seen = image.detach().unsqueeze(0).requires_grad_()
    with torch.enable_grad():
        logits = network(seen)
        if not isinstance(logits, Tensor) or logits.ndim != 4:
            found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits)
            raise ValueError(
                f"effective field: {name} gives {found}; expected logits (1, K, h, w)."
            )
        scores = logits[0, :, logits.shape[2] // 2, logits.shape[3] // 2]  # (K,)
        (gradient,) = torch.autograd.grad(scores.max(), seen)
    strength = gradient[0].double().abs().sum(0).cpu()  # (C, H, W) -> (H, W)
    if not strength.isfinite().all():
        raise RuntimeError(f"effective field: a gradient of {name} at the image is not finite.")
    return strength
