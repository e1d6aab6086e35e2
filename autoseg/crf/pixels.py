"""What the kernels compare pixels by: position and colour, in row-major order."""

import torch
from torch import Tensor


def pixel_positions(image: Tensor) -> Tensor:
    """Return x and y, that is column and row, of every pixel of an image (..., H, W).

    A lattice depends on the order of its features. This one, x, y, then the colours, is
    pydensecrf's, so that both make the same errors.

    Returns:
        int64, (H * W, 2).
    """
    height, width = image.shape[-2:]
    rows = torch.arange(height, device=image.device)
    columns = torch.arange(width, device=image.device)
    return torch.cartesian_prod(rows, columns).flip(1)


def pixel_colours(image: Tensor) -> Tensor:
    """Return the colour of every pixel of an image (3, H, W): its dtype, (H * W, 3)."""
    return image.flatten(1).t()
