"""Indices that stay on the device: a step that uploads none can be captured as a CUDA graph."""

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor


def index_on(device: torch.device, indices: Iterable[int]) -> Tensor:
    """Return int64 indices, (count,), uploaded to the device at the first use only."""
    return _cached(device, tuple(indices))


@cache
def _cached(device: torch.device, indices: tuple[int, ...]) -> Tensor:
    # A tensor made in inference mode could not take part in a later training step.
    with torch.inference_mode(False):
        return torch.tensor(indices, dtype=torch.int64, device=device)
