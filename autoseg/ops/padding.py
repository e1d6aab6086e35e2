"""Padding of images to sizes that a network can halve and double again."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_image(images: Tensor, *, multiple: int = 1, minimum: int = 1) -> Tensor:
    """Pad images below and on the right with zeros, the mean colour of normalised images.

    The logits' first H rows and W columns are then those of the image.

    Args:
        images: (N, C, H, W).
        multiple: The padded height and width are multiples of this many pixels.
        minimum: The padded height and width are at least this many pixels, a multiple of
            `multiple`.

    Returns:
        (N, C, H', W') with the smallest such H' >= H and W' >= W.
    """
    height, width = images.shape[2:]
    if not torch.compiler.is_exporting():
        height, width = int(height), int(width)
    # In whole multiples, so that in an exported graph what divides a side is seen to divide it.
    least = -(-minimum // multiple)
    below, right = (
        multiple * cast(int, torch.sym_max((side + multiple - 1) // multiple, least)) - side
        for side in (height, width)
    )
    return F.pad(images, (0, right, 0, below))
