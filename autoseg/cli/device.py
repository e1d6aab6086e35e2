"""Turn the word after --device into a device, and refuse what is not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autoseg.errors import UsageError
from autoseg.launch import Launch, launch

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> torch.device:
    """Find the device to run on, and make a GPU that is named the current one.

    What names no device, as a question for its precisions or the capture of a CUDA graph, means the
    current one.

    Args:
        name: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" (the current CUDA
            device; under torchrun each process has its own) or "cuda:N".

    Returns:
        The device; a CUDA device always has its index.

    Raises:
        UsageError: If the word is unknown or the device is not there; nothing is taken instead.
    """
    import torch  # late: a command reads its arguments without it

    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", name)
    if match is None:
        raise UsageError(f"unknown device {name!r}. Known: auto, cpu, cuda, cuda:N (as cuda:0).")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(f"--device {name}: {_why_no_cuda()}, or use --device cpu.")
    num_devices, launched = torch.cuda.device_count(), launch()
    if not launched.is_alone:
        return torch.device("cuda", _own_gpu(name, launched, num_devices))
    if match[1] is None:
        return torch.device("cuda", torch.cuda.current_device())
    index = int(match[1])
    if index >= num_devices:
        present = ", ".join(
            f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(num_devices)
        )
        raise UsageError(f"--device {name}: there is no such device; present: {present}.")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _own_gpu(name: str, launched: Launch, num_devices: int) -> int:
    """Return the index of this process's GPU, where each of several has one."""
    if ":" in name:
        raise UsageError(
            f"--device {name}: under torchrun each process has a GPU of its own; use --device cuda."
        )
    if launched.local_rank >= num_devices:
        raise UsageError(
            f"--device {name}: torchrun started process {launched.local_rank} on this machine, "
            f"counted from 0, which has {num_devices} GPUs; use --nproc-per-node {num_devices}, or "
            "--device cpu."
        )
    return launched.local_rank


def _why_no_cuda() -> str:
    import torch

    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is built without CUDA; install a CUDA build of torch "
            "(https://pytorch.org/get-started/locally)"
        )
    return (
        f"torch {torch.__version__} is built for CUDA {torch.version.cuda} but finds no GPU; "
        "check the driver with nvidia-smi"
    )
