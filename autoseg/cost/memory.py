"""The most memory that a function holds at one time."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from autoseg.cost.device import measured_device

_MIB = 2**20


def measure_peak_memory(function: Callable[[], object], *, device: torch.device | str) -> float:
    """Measure the peak of the memory that tensors take while a function runs.

    The function is called twice; the first call, not measured, pays for what is set up once. What
    was allocated before the measured call (weights, inputs) is not in the figure; the result is.

    - CPU: the exact sum of the bytes asked from torch's allocator, operators' own work space
      included where they take it from there. What a library allocates by itself (oneDNN's
      scratchpads) and what another thread of the program does are not seen.
    - CUDA: torch's `max_memory_allocated` above the level at the start. The allocator hands out
      multiples of 512 bytes; the reserve that it keeps beyond is not counted.

    Args:
        function: What is measured; see `measure_latency`. Under autograd the activations that it
            keeps count as well, so a network belongs into `torch.inference_mode`.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        MiB (2**20 bytes).

    Raises:
        ValueError: If the device is missing.
    """
    device = measured_device(device)
    function()
    num_bytes = _peak_cpu(function) if device.type == "cpu" else _peak_cuda(function, device)
    return num_bytes / _MIB


def _peak_cuda(function: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_cpu(function: Callable[[], object]) -> int:
    profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    with _quiet_stderr():
        profiler.start()
    try:
        function()
    finally:
        with _quiet_stderr():
            profiler.stop()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return peak_of_changes(
        (event["args"]["Addr"], event["args"]["Bytes"])
        for event in changes
        if event["args"]["Device Type"] == 0  # the CPU
    )


def peak_of_changes(changes: Iterator[tuple[int, int]]) -> int:
    """Find the largest sum of the blocks that are held together.

    Args:
        changes: Address and size in bytes, in the order of time; a negative size frees the block at
            that address. Blocks that were there before are not known, and freeing them is nothing.

    Returns:
        Bytes.
    """
    held: dict[int, int] = {}
    total = peak = 0
    for address, size in changes:
        if size > 0:
            held[address] = size
            total += size
            peak = max(peak, total)
        else:
            total -= held.pop(address, 0)
    return peak


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send the process's standard error nowhere.

    torch 2.13's profiler writes two lines for people who debug it at every start and stop, from C++
    and with no switch; they would tear up a progress display.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
