"""What a number depends on besides the configuration: source revision, versions, hardware."""

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg import __version__


def describe_environment() -> dict[str, Any]:
    """Describe the code and the machine that this process runs on.

    Returns:
        `git` (commit and whether tracked files differ from it; None outside a checkout of autoseg),
        `versions` (python, torch, its CUDA, numpy, autoseg) and `hardware` (CPU model, logical
        cores of the machine, cores this process may use, torch's threads, memory in MiB, GPUs).
        Git is asked once in a process: what is edited later is not what it has imported.
    """
    git = _git_state_of_this_process()
    return {"git": git and dict(git), "versions": versions(), "hardware": hardware()}


def git_state() -> dict[str, Any] | None:
    """Read the revision of the autoseg checkout that this process imports.

    Returns:
        `commit` (hexadecimal) and `dirty` (True if tracked files were changed since), or None where
        autoseg is not a checkout or git is missing.
    """
    source = Path(__file__).resolve()
    # An autoseg installed into a virtual environment inside somebody else's repository would
    # otherwise report that repository's commit: this very file must be one that git tracks.
    if _git(source, "ls-files", "--error-unmatch", source.name) is None:
        return None
    commit = _git(source, "rev-parse", "HEAD")
    changes = _git(source, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


@cache
def _git_state_of_this_process() -> dict[str, Any] | None:
    return git_state()


def versions() -> dict[str, str | None]:
    """Read the versions that decide a number.

    Returns:
        Versions of python, torch, cuda (None in a CPU build of torch), numpy and autoseg. The last
        is the imported code's own: an installation's record may be of another checkout, and the
        distribution that PyPI calls autoseg is other software.
    """
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "numpy": np.__version__,
        "autoseg": __version__,
    }


def hardware() -> dict[str, Any]:
    """Describe the machine.

    Returns:
        `cpu`, `num_cores`, `num_usable_cores`, `num_threads` (torch's), `memory_mib` (None where
        the system does not tell) and `gpus`, a list of `name` and `memory_mib`.
    """
    gpus = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            gpus.append(
                {"name": properties.name, "memory_mib": round(properties.total_memory / 2**20)}
            )
    return {
        "cpu": _cpu_model(),
        "num_cores": os.cpu_count(),
        "num_usable_cores": _num_usable_cores(),
        "num_threads": torch.get_num_threads(),
        "memory_mib": _memory_mib(),
        "gpus": gpus,
    }


def processor_name(device: torch.device) -> str:
    """Return the model of the processor that a device's work is done on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_model()


def _git(source: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(source.parent), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _num_usable_cores() -> int | None:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return None
