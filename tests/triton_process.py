"""Where the Triton kernels run in tests: on a CUDA device, or in a process that interprets them,
or are compiled without one.

Triton's interpreter runs kernels on the CPU. It must be chosen, by TRITON_INTERPRET=1, before
triton is imported for the first time, which another test may have done already, and it must not be
chosen for other tests: so it has a process of its own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from tests.fresh_process import fresh_process


@contextmanager
def interpreting_process() -> Iterator[ProcessPoolExecutor]:
    """Give a process of its own to triton's interpreter."""
    with fresh_process(TRITON_INTERPRET="1") as process:
        process.submit(_replace_operators_once).result()
        yield process


def _replace_operators_once() -> None:
    """Spare the interpreter a quarter of its time.

    When a kernel starts, it replaces the operators of triton's language by its own. It looks
    through all of them again at each call of a function in the kernel, and finds none left.
    """
    from triton import language
    from triton.runtime import interpreter

    replace = interpreter._patch_lang

    def replace_what_is_left(function: Any) -> Any:
        modules = [
            value for value in function.__globals__.values() if value in (language, language.core)
        ]
        if any(language.core.is_builtin(module.load) for module in modules):
            return replace(function)
        return None

    interpreter._patch_lang = replace_what_is_left


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
