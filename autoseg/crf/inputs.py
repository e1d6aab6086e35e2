"""What the dense CRF refuses, before it computes anything."""

import math
import warnings

import torch
from torch import Tensor

from autoseg.errors import UsageError

_HOW_TO_UNDO_A_NORMALISATION = (
    "To undo a normalisation: (images * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8) "
    "with the normalisation's mean and std, each (3, 1, 1)."
)


def check_inputs(logits: Tensor, images: Tensor, *, weights_device: torch.device) -> None:
    """Refuse what `DenseCRF.forward` does not describe.

    Raises:
        UsageError: If so.
    """
    if logits.ndim != 4 or logits.shape[1] < 2 or logits.numel() == 0:
        raise UsageError(
            f"DenseCRF: logits have shape {tuple(logits.shape)}; they must be (N, K, H, W), not "
            "empty, with K >= 2 classes. A single image needs logits[None] and images[None]."
        )
    num_images, _, height, width = logits.shape
    if images.shape != (num_images, 3, height, width):
        raise UsageError(
            f"DenseCRF: images have shape {tuple(images.shape)}; for logits of shape "
            f"{tuple(logits.shape)} they must be (N, 3, H, W) = {(num_images, 3, height, width)}: "
            "resize the logits to the images, not the images to the logits, and put the channels "
            "before height and width."
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise UsageError(
            f"DenseCRF: images are {images.dtype}; they must be RGB from 0 to 255, uint8 or "
            "floating point."
        )
    if not logits.is_floating_point():
        raise UsageError(
            f"DenseCRF: logits are {logits.dtype}; they must be floating point scores, not labels."
        )
    if len({logits.device, images.device, weights_device}) > 1:
        raise UsageError(
            f"DenseCRF: logits are on {logits.device}, images on {images.device} and the weights "
            f"on {weights_device}; move all to one device, for example crf.to(logits.device)."
        )
    if images.is_floating_point():
        _check_colours(images)


def check_finite(logits: Tensor) -> None:
    """Refuse logits that are infinite or not a number; floating point (N, K, H, W).

    Raises:
        UsageError: If there are such.
    """
    # On a GPU this waits for the network, but building the lattice would do so too. The extremes
    # need no memory, unlike a mask, and are NaN where there is one.
    if not all(map(math.isfinite, torch.stack(torch.aminmax(logits)).tolist())):
        is_bad = ~torch.isfinite(logits)
        raise UsageError(
            f"DenseCRF: {int(is_bad.sum())} of {logits.numel()} logits are infinite or not a "
            f"number, the first at [image, class, row, column] = {_first(is_bad)}; the "
            "network has diverged, or a class was masked with -inf: use a large negative score, "
            "for example -1e4, instead."
        )


def _check_colours(images: Tensor) -> None:
    """Refuse what is certainly no colour from 0 to 255; floating point (N, 3, H, W)."""
    is_bad = ~((images >= 0) & (images <= 255))  # true of NaN as well
    if is_bad.any():
        place = _first(is_bad)
        raise UsageError(
            f"DenseCRF: {int(is_bad.sum())} of {images.numel()} colours are not in 0 to 255, the "
            f"first at [image, channel, row, column] = {place}: {images[tuple(place)].item()}; "
            f"images must be RGB from 0 to 255. {_HOW_TO_UNDO_A_NORMALISATION}"
        )
    if 0 < images.max() <= 1:
        warnings.warn(
            f"DenseCRF: no colour is above {images.max().item():.3g}, so the images look scaled to "
            "[0, 1]; they are taken as RGB from 0 to 255, in which they are all but black: "
            "multiply them by 255.",
            stacklevel=4,
        )


def _first(mask: Tensor) -> list[int]:
    """Return the index of the first true entry in row-major order."""
    position = int(mask.flatten().to(torch.uint8).argmax())
    index = []
    for length in reversed(mask.shape):
        position, remainder = divmod(position, length)
        index.insert(0, remainder)
    return index
