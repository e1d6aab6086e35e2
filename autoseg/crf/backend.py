"""What the dense CRF's fused kernels can do, and the choice of a back end by that."""

import torch

from autoseg.backends import Implementation, check_backend_name, choose_backend, warn_of_cost
from autoseg.crf.kernels import LATTICE_MODES
from autoseg.errors import UsageError

FUSED_MODES: dict[str, tuple[str, ...]] = {"cpu": LATTICE_MODES, "cuda": (*LATTICE_MODES, "exact")}
"""The modes that there are fused kernels for, by kind of device."""

_WORK = "DenseCRF"


def check_backend(name: str, *, mode: str) -> None:
    """Refuse an unknown back end, and fused kernels for a mode that has none on any device.

    Raises:
        UsageError: If so.
    """
    check_backend_name(name, work=_WORK)
    if name == "fused" and not any(mode in modes for modes in FUSED_MODES.values()):
        raise UsageError(
            f"DenseCRF: there are no fused kernels for mode {mode!r}; use backend='auto' or "
            "'torch', or mode 'fast' or 'accurate'."
        )


def choose_implementation(
    name: str, *, mode: str, device_type: str, dtype: torch.dtype
) -> Implementation:
    """Choose what applies the filters.

    Args:
        name: The back end that was asked for.
        mode: Mode of the CRF.
        device_type: "cpu", "cuda", ...
        dtype: Type of the marginals.

    Warns:
        UserWarning: Once a process, if fused kernels would have been used but are missing.

    Raises:
        UsageError: If they were asked for and are not at hand.
    """
    obstacle = None
    if mode not in FUSED_MODES.get(device_type, ()):
        obstacle = f"there are no fused kernels for mode {mode!r} on this kind of device."
    elif dtype != torch.float32:
        obstacle = f"the fused kernels compute in float32, the logits are {dtype}."
    backend = choose_backend(name, device_type, work=_WORK, obstacle=obstacle)
    warn_of_cost(backend, work=_WORK)
    return backend.implementation
