"""How many kernels a GPU runs for a function."""

from collections.abc import Callable, Iterable

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

_COPIES = ("Memcpy", "Memset")
"""What CUDA's profiler calls the work of the copy engines."""


def count_kernels(function: Callable[[], object], device: torch.device) -> int | None:
    """Count the kernels of one call, those of a replayed CUDA graph included.

    Args:
        function: What is called, once.
        device: Where its work is done.

    Returns:
        None where there are no kernels: on the CPU.
    """
    if device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        function()
        torch.cuda.synchronize(device)
    return num_kernels(profiler.events() or ())


def num_kernels(events: Iterable[FunctionEvent]) -> int:
    """Count the events of a trace that are kernels on a GPU."""
    return sum(
        event.device_type.name == "CUDA" and not event.name.startswith(_COPIES) for event in events
    )
