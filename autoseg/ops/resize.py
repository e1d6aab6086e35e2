"""Bilinear resizing with the convention spelled out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(features: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Resize a map bilinearly; return it unchanged if it has that size.

    Args:
        features: (N, C, H, W).
        size: Height and width of the result, in pixels.
        align_corners: True puts the corner pixels' centres on each other (Auto-DeepLab's
            TensorFlow code); False aligns the corners of the images (torch's default).

    Returns:
        (N, C, *size), dtype of the input.
    """
    if features.shape[2:] == torch.Size(size):
        return features
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=align_corners)
