"""How many operators a function calls: on a GPU, about how many kernels it launches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from .setting import Calls

ALLOCATIONS = frozenset(
    f"aten::{name}"
    for name in (
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
        *("_unsafe_view", "_reshape_alias", "lift_fresh"),
    )
)
"""Operators that compute and copy nothing, although their results are not marked as views."""

RULE = (
    "operator calls are what reaches torch's dispatcher below autograd, backward pass and "
    "optimizers included, without views (operators whose result shares memory with an argument and "
    "does not write it: view, expand, transpose, slice, split, unbind, detach and the like), "
    "allocations (empty and its relatives, _unsafe_view) and the profiler's marks; a `foreach` "
    "call for many tensors is one. Kernel calls are operators that are not torch's own, and calls "
    "of the fused source operation, forward or backward, each of which may launch several kernels"
)
"""What is counted, in words."""

_MARKS = "profiler"  # namespace of operators that only name a part of a trace
_KERNEL_METHODS = ("forward", "backward")
_CONTRACT = {"pack", "unpack", *_KERNEL_METHODS}  # of the supernet's fused source operations


class CallCounter(TorchDispatchMode):
    """Counts the operators that are called inside, on all threads of autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.num_operators = 0
        self.num_kernels = 0
        self.num_free = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count the call and make it."""
        name = func.name().partition(".")[0]
        if func.is_view or name in ALLOCATIONS or func.namespace == _MARKS:
            self.num_free += 1
        elif func.namespace == "aten":
            self.num_operators += 1
        else:
            self.num_kernels += 1
        return func(*args, **(kwargs or {}))

    def count_kernel(self) -> None:
        """Count a call that passes the dispatcher by."""
        self.num_kernels += 1


def count_calls(function: Callable[[], object]) -> Calls:
    """Count what one call of a function calls; see `RULE`."""
    with CallCounter() as counter, _watched(fused_kernels(), counter.count_kernel):
        function()
    return Calls(
        num_operator_calls=counter.num_operators,
        num_kernel_calls=counter.num_kernels,
        num_free_calls=counter.num_free,
    )


def fused_kernels() -> list[type]:
    """List the loaded classes of the supernet that fulfil the contract of fused kernels.

    They call compiled code directly, so that the dispatcher does not see them.
    """
    modules = [m for name, m in list(sys.modules.items()) if name.startswith("autoseg.supernet.")]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and set(vars(value)) >= _CONTRACT
        and not getattr(value, "_is_protocol", False)
    ]


@contextmanager
def _watched(classes: list[type], on_call: Callable[[], None]) -> Iterator[None]:
    """Report each call of the kernels' methods inside."""

    def reporting(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def reported(*args: Any, **kwargs: Any) -> Any:
            on_call()
            return method(*args, **kwargs)

        return reported

    before = [
        (kernels, name, vars(kernels)[name]) for kernels in classes for name in _KERNEL_METHODS
    ]
    for kernels, name, method in before:
        setattr(kernels, name, reporting(method))
    try:
        yield
    finally:
        for kernels, name, method in before:
            setattr(kernels, name, method)
