"""What the kernels compare pixels by: position and colour, in row-major order."""

import torch
from torch import Tensor


def pixel_positions(image: Tensor) -> Tensor:
    """Return row and column of every pixel of an image (..., H, W): int64, (H * W, 2)."""
    height, width = image.shape[-2:]
    rows = torch.arange(height, device=image.device)
    columns = torch.arange(width, device=image.device)
    return torch.cartesian_prod(rows, columns)


def pixel_colours(image: Tensor) -> Tensor:
    """Return the colour of every pixel of an image (3, H, W): its dtype, (H * W, 3)."""
    return image.flatten(1).t()
