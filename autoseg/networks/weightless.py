"""Networks as descriptions: names and shapes, in no memory and in no time."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWS = {torch.Tensor.normal_, torch.Tensor.uniform_}
# These give themselves to the mode, and what they call inside escapes it.
_INITIAL_DRAWS = {nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}


class _NoDraws(TorchFunctionMode):
    """Leaves out random weights: drawing for meta tensors is slow, and they hold no values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            return args[0]
        if func in _INITIAL_DRAWS:
            return kwargs["tensor"]
        return func(*args, **kwargs)


@contextlib.contextmanager
def weightless() -> Iterator[None]:
    """Build what is built inside on meta tensors: shapes, and no values."""
    with torch.device("meta"), _NoDraws():
        yield
