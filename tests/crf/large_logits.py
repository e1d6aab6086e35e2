"""Logits so large that float32 holds few digits of their differences, with known exact answers."""

import torch
from torch import Tensor

from tests.crf.reference import scene

OFFSETS = (0.0, 1e3, 1e6, 1e8)
"""Numbers that may be added to all labels of a pixel; whole, and float32 numbers."""
TIES = (1e6, 1e7, 1e8, 3e38)
"""Scores of labels that are as likely as each other; the others have the negative."""


def shifted(offset: float, size: tuple[int, int] = (7, 11)) -> tuple[Tensor, Tensor, Tensor]:
    """Draw scores, and the same with an offset, exactly.

    Numbers around 1e8 are 8 apart in float32, so that the scores are whole steps of that. At each
    pixel the offset is added or subtracted, or neither.

    Returns:
        Scores, float64, and with the offset, float32, (1, 4, H, W); an image, (1, 3, H, W).
    """
    generator = torch.Generator().manual_seed(3)
    step = 8.0 if offset == 1e8 else 0.125
    scores = step * torch.randint(-16, 1, (1, 4, *size), generator=generator).double()
    signs = torch.randint(-1, 2, (1, 1, *size), generator=generator)
    large = (scores + offset * signs).float()
    assert torch.equal(large.double() - offset * signs, scores)
    return scores, large, scene(4, size)[1].contiguous()


def tied(height: float, size: tuple[int, int] = (7, 11)) -> tuple[Tensor, Tensor, Tensor]:
    """Draw scores of plus or minus a height, and some with the same softmax: 0 or -10,000."""
    generator = torch.Generator().manual_seed(4)
    is_high = torch.rand(1, 4, *size, generator=generator) < 0.6
    is_high[:, 0] |= ~is_high.any(dim=1)
    scores = torch.where(is_high, 0.0, -1e4).double()
    return scores, torch.where(is_high, height, -height).float(), scene(4, size)[1].contiguous()


CASES = [(shifted, offset) for offset in OFFSETS] + [(tied, height) for height in TIES]
IDS = [f"{draw.__name__} {number:g}" for draw, number in CASES]
