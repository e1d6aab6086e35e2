"""The choice of what computes: plain operators, or kernels that are made for the device.

The supernet and the dense CRF both ask here, and both say the answer in the same words.
"""

import importlib.util
import warnings
from functools import cache
from typing import Literal, NamedTuple, get_args

from autoseg._native import core, missing_reason
from autoseg.errors import UsageError, unknown_name

BackendName = Literal["auto", "torch", "fused"]
"""What can be asked for: plain operators ("torch"), kernels that are made for the device ("fused"),
or the fastest that is at hand ("auto")."""

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

Implementation = Literal["torch", "native", "triton"]
"""Plain operators, the compiled kernels for CPUs or the Triton kernels for NVIDIA devices."""


class Backend(NamedTuple):
    """A back end that is at hand."""

    implementation: Implementation
    """What computes."""
    reason: str
    """Why it was taken, for people."""
    cost: str = ""
    """What it costs that kernels, which there are for the device, are missing here."""

    @property
    def name(self) -> Literal["torch", "fused"]:
        """What one would ask for to get it."""
        return "torch" if self.implementation == "torch" else "fused"

    @property
    def announcement(self) -> str:
        """Say what was taken, why, and what that costs."""
        cost = f", which takes {self.cost}" if self.cost else ""
        return f"back end {self.name}{cost} ({self.reason})"


def check_backend_name(name: str, *, work: str) -> None:
    """Refuse a name that no back end has.

    Args:
        name: What was asked for.
        work: What is to be computed, "Supernet" or "DenseCRF".

    Raises:
        UsageError: If so.
    """
    if name not in BACKENDS:
        raise unknown_name(f"{work} backend", str(name), BACKENDS)


def choose_backend(
    name: str, device_type: str, *, work: str, obstacle: str | None = None
) -> Backend:
    """Choose the back end for a kind of device.

    Args:
        name: What was asked for, a `BackendName`.
        device_type: "cpu", "cuda", ...
        work: What is to be computed, "Supernet" or "DenseCRF".
        obstacle: Why this device's kernels cannot do the work, a sentence; None if they can.

    Raises:
        UsageError: If the name is unknown, or "fused" was asked for and is not at hand.
    """
    check_backend_name(name, work=work)
    if name == "torch":
        return Backend("torch", "asked for")
    if device_type in _KERNELS and obstacle is not None:
        backend = Backend("torch", obstacle)
    else:
        backend = _fastest(device_type)
    if name == "fused" and backend.implementation == "torch":
        raise UsageError(
            f"{work}: backend 'fused' on {device_type}: {backend.reason} Or use backend 'torch'."
        )
    return backend


def warn_of_cost(backend: Backend, *, work: str) -> None:
    """Warn, once a process, if kernels are missing that would do the work faster."""
    said = f"{work}: {backend.announcement}"
    if backend.cost and said not in _said:
        _said.add(said)  # first: a warning that is made an error counts as well
        warnings.warn(said, stacklevel=2)


_said: set[str] = set()


@cache
def _fastest(device_type: str) -> Backend:
    if device_type not in _KERNELS:
        return Backend("torch", f"there are no fused kernels for {device_type}.")
    return _KERNELS[device_type]()


def _on_the_cpu() -> Backend:
    module = core()
    if module is None:
        reason = f"the compiled kernels are missing. {missing_reason()}"
        return Backend("torch", reason, cost="several times as long")
    return Backend("native", f"compiled C++ kernels for {module.isa()}")


def _on_a_gpu() -> Backend:
    import torch  # late: a command explains itself without it

    if torch.version.hip is not None:
        reason = "the Triton kernels are for NVIDIA devices and this torch is for AMD's."
    elif importlib.util.find_spec("triton") is None:
        reason = "Triton is not installed (`pip install triton`)."
    else:
        return Backend("triton", f"Triton kernels for {torch.cuda.get_device_name()}")
    return Backend("torch", reason, cost="longer")


_KERNELS = {"cpu": _on_the_cpu, "cuda": _on_a_gpu}
