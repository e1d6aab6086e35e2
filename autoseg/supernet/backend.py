"""The kernels that evaluate the source operations."""

from functools import cache

from autoseg.backends import Implementation, choose_backend
from autoseg.supernet.fused_cell import SourceKernels


def source_kernels(name: str, device_type: str) -> SourceKernels | None:
    """Return the fused kernels of the back end for a kind of device; None for plain operators.

    Args:
        name: What was asked for, a `BackendName`.
        device_type: "cpu", "cuda", ...

    Raises:
        UsageError: As `choose_backend` says.
    """
    return _kernels(choose_backend(name, device_type, work="Supernet").implementation)


@cache
def _kernels(implementation: Implementation) -> SourceKernels | None:
    if implementation == "native":
        from autoseg.supernet.native import NativeSourceKernels

        return NativeSourceKernels()
    if implementation == "triton":
        from autoseg.supernet.triton_kernels import TritonSourceKernels

        return TritonSourceKernels()
    return None
