"""Sizes of maps, and bilinear resizing with the convention spelled out."""

from collections.abc import Sequence
from fractions import Fraction

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
    if _has_size(features, size):
        return features
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=align_corners)


def strided(side: int, stride: int) -> int:
    """Return the side of a map after a convolution that keeps every `stride`-th position.

    That is side / stride, rounded up. It is written as convolutions compute it: in an exported
    graph, where sides are symbols, the two are seen to be equal.
    """
    return (side - 1) // stride + 1


def scaled(side: int, scale: float) -> int:
    """Return scale * side rounded to the nearest, halves up, by whole numbers alone.

    An exported graph, where the side is a symbol, can compute that.
    """
    factor = Fraction(scale).limit_denominator(_MAX_DENOMINATOR)
    return (2 * factor.numerator * side + factor.denominator) // (2 * factor.denominator)


_MAX_DENOMINATOR = 10_000


def _has_size(features: Tensor, size: Sequence[int]) -> bool:
    """Compare sizes; in a graph that is exported, they are equal if they are for every image."""
    if torch.compiler.is_exporting():
        # Here, as it brings sympy: most of a second that only an export needs.
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        pairs = zip(features.shape[2:], size, strict=True)
        return all(statically_known_true(has == wanted) for has, wanted in pairs)
    return features.shape[2:] == torch.Size(size)
