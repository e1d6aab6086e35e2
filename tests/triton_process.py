"""Where the Triton kernels run in tests: on a CUDA device, or in a process that interprets them,
or are compiled without one.

Triton's interpreter runs kernels on the CPU. It must be chosen, by TRITON_INTERPRET=1, before
triton is imported for the first time, which another test may have done already, and it must not be
chosen for other tests: so it has a process of its own.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor


def to_device(value: Any, device: str) -> Any:
    """Move tensors in (nested) lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(to_device(part, device) for part in value)
    if isinstance(value, dict):
        return {name: to_device(part, device) for name, part in value.items()}
    return value


def call(function: Callable[..., Any], device: str, arguments: Any, options: Any) -> Any:
    """Call a function with everything on a device."""
    result = function(*to_device(arguments, device), **to_device(options, device))
    return to_device(result, "cpu")


class _Hopper:
    """Stands in for triton's driver where there is none: the compiler asks it for the target."""

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def compile_instead() -> tuple[Callable[..., None], set[str]]:
    """Return what to call in place of a launch, and the names of the kernels that it compiled."""
    import triton

    compiled: set[str] = set()

    def compile_only(kernel: Any, grid: Any, *arguments: Any, **constants: Any) -> None:
        binary = kernel.warmup(*arguments, grid=grid, **constants, enable_fp_fusion=True)
        assert binary.asm["cubin"]
        compiled.add(kernel.__name__)

    triton.runtime.driver.set_active(_Hopper())
    return compile_only, compiled
