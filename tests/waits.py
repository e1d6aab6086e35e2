"""Where work on a GPU makes the CPU wait for it, found on one and without one.

Without one, torch's meta device stands in: its tensors have shapes and no numbers, so that a number
of theirs cannot be read at all, and what is sent there shows how.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")
"""Stands in for a GPU."""

_MADE_FROM_NUMBERS = (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
_aten = torch.ops.aten


class Waits(TorchFunctionMode):
    """List the copies to `META` that a GPU would be waited for.

    Attributes:
        found: One sentence for each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._copies = _Copies(self.found)

    def __enter__(self) -> "Waits":
        self._copies.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._copies.__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in _MADE_FROM_NUMBERS and made.device == META:
            # torch makes it on the CPU, in ordinary memory, and copies it from there.
            self.found.append(f"{func.__name__} of numbers {args[-1]}")
        return made


class _Copies(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, options = func(*args, **(kwargs or {})), kwargs or {}
        if func is _aten._to_copy.default:
            source, is_asked = args[0], options.get("non_blocking", False)
        elif func is _aten.copy_.default:
            source, is_asked = args[1], options.get("non_blocking", (*args, False)[2])
        else:
            return result
        if result.device == META and source.device != META and not is_asked:
            self._found.append(f"a copy of {tuple(source.shape)}")
        return result


@contextmanager
def waits_are_errors() -> Iterator[None]:
    """Let a GPU raise inside where it is waited for; set it back, whatever happens."""
    try:
        with warnings.catch_warnings():
            # That the mode is a prototype is no fault of what it watches.
            warnings.simplefilter("ignore")
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
