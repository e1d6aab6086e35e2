"""Networks as descriptions: names and shapes, in no memory and in no time."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _NoDraws(TorchFunctionMode):
    """Leaves out random weights: drawing for meta tensors is slow, and they hold no values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def weightless() -> Iterator[None]:
    """Build what is built inside on meta tensors: shapes, and no values."""
    with torch.device("meta"), _NoDraws():
        yield
