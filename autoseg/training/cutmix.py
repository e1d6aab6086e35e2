"""Rectangles that change places between the images of a batch, labels with them."""

import math

import torch
from torch import Tensor


def cutmix(
    images: Tensor, target: Tensor, generator: torch.Generator, *, probability: float
) -> tuple[Tensor, Tensor]:
    """Paste one rectangle of every image's neighbour in the batch over it.

    All images of the batch have the rectangle at one place. Its centre is uniform over the image
    and its sides are sqrt(u) of the image's with a uniform u, so that its area is a uniform share
    before what lies outside the image is cut off.

    Args:
        images: (N, C, H, W).
        target: Classes, int64, (N, H, W). Pixels take their labels along, so that no loss has to be
            mixed.
        generator: CPU generator; its state alone decides the result.
        probability: Share of the calls that change anything, in [0, 1].

    Returns:
        New tensors of the same shapes, or the given ones where nothing changes.

    Source: Yun et al. 2019, "CutMix", arXiv 1905.04899, section 3.1 with alpha = 1, whose partners
    are a random permutation (here the next image: the batch's order is random already); French et
    al. 2020, arXiv 1906.01916, for segmentation.
    """
    # All draws first, in a fixed number: what a draw means does not depend on an earlier one.
    chance, area, y, x = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    if chance >= probability:
        return images, target
    rows = _side(target.shape[1], centre=y, share=math.sqrt(area))
    columns = _side(target.shape[2], centre=x, share=math.sqrt(area))
    mixed, labels = images.clone(), target.clone()
    mixed[..., rows, columns] = images.roll(1, dims=0)[..., rows, columns]
    labels[..., rows, columns] = target.roll(1, dims=0)[..., rows, columns]
    return mixed, labels


def _side(length: int, *, centre: float, share: float) -> slice:
    """Place a rectangle on one axis: `share` of it around `centre`, cut off at its ends."""
    start = round((centre - share / 2) * length)
    stop = round((centre + share / 2) * length)
    return slice(max(0, start), min(length, stop))
