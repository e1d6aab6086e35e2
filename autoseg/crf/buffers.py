"""Memory of results that were dropped, for the results to come.

The C library gives memory of megabytes back to the system once what lies around it is free too, and
the system clears every page that it hands out again. A loop over the dense CRF alone does not show
it; one with a network, or anything else that takes and frees megabytes, does.
"""

import math
import weakref

import torch
from torch import Tensor

LARGEST_BYTES = 2**25
"""Larger results are not kept."""
MOST_BYTES = 2**26
"""Kept in all."""

# Flat buffers that nobody uses, by identity, the longest unused first. Threads may drop tensors at
# any time, so that it is changed by single operations only.
_kept: dict[int, Tensor] = {}


def empty(shape: tuple[int, ...]) -> Tensor:
    """Return a tensor whose values are not set, float32, contiguous, on the CPU.

    Its memory may be that of an earlier one, of which no tensor and no array is left; and it is
    kept for a later one in its turn.
    """
    count = math.prod(shape)
    if count * 4 > LARGEST_BYTES:
        return torch.empty(shape, dtype=torch.float32)
    buffer = _take(count)
    # The tensor's storage holds this array, whatever is made of the tensor; nothing else does.
    array = buffer[:count].view(shape).numpy()
    weakref.finalize(array, _keep, buffer).atexit = False
    return torch.from_numpy(array)


def _take(count: int) -> Tensor:
    """Take the smallest buffer that is large enough, but not twice as large; or make one."""
    for key, buffer in sorted(_kept.copy().items(), key=lambda item: len(item[1])):
        # Another thread may have been faster.
        if count <= len(buffer) <= 2 * count and _kept.pop(key, None) is not None:
            return buffer
    return torch.empty(count, dtype=torch.float32)


def _keep(buffer: Tensor) -> None:
    _kept[id(buffer)] = buffer
    kept = _kept.copy()
    excess = sum(map(len, kept.values())) * 4 - MOST_BYTES
    for key, other in kept.items():
        if excess <= 0:
            return
        _kept.pop(key, None)
        excess -= len(other) * 4
