"""The energy that a GPU takes for a function, read from its driver."""

import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import torch

_MIN_SECONDS = 2.0
"""Length of the measured block: the driver brings its counter up to date every 20 to 100 ms."""


def energy_meter(device: torch.device) -> Callable[[], float] | None:
    """Find the counter of the energy that a GPU has taken.

    It is NVML's `nvmlDeviceGetTotalEnergyConsumption`: of the whole board, whatever uses it, since
    the driver was loaded.

    Args:
        device: Where the work is done.

    Returns:
        A function that reads the joules; None where nothing counts them: on a CPU, without the
        package nvidia-ml-py or NVIDIA's driver, and on GPUs older than Volta.
    """
    if device.type != "cuda" or find_spec("pynvml") is None:
        return None
    nvml = import_module("pynvml")
    try:
        nvml.nvmlInit()
        # By its UUID: torch numbers the GPUs that it sees, NVML all of the machine.
        uuid = torch.cuda.get_device_properties(device).uuid
        board = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(board)
    except nvml.NVMLError:
        return None
    return lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000  # it counts mJ


def measure_energy(
    function: Callable[[], object],
    *,
    meter: Callable[[], float],
    clock: Callable[[], float] = time.perf_counter,
    min_seconds: float = _MIN_SECONDS,
) -> float:
    """Measure the energy of one call.

    The function is called once to warm up, then again and again between two readings. What the
    board takes while it idles, and what others do with it, is in the figure.

    Args:
        function: What is measured; see `measure_latency`.
        meter: Joules since any fixed moment; see `energy_meter`.
        clock: Time in seconds; on a GPU one that waits for it, see `synchronised_clock`.
        min_seconds: Length of the block, at least.

    Returns:
        Joules.
    """
    function()
    begin_s, begin_j = clock(), meter()
    num_calls, end_s = 0, begin_s
    while num_calls == 0 or end_s - begin_s < min_seconds:
        function()
        num_calls, end_s = num_calls + 1, clock()
    return (meter() - begin_j) / num_calls
