"""Parameters that are moved for a moment, without a copy of the model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def shifted(
    parameters: Sequence[Tensor], direction: Sequence[Tensor], scale: Tensor | float
) -> Iterator[None]:
    """Add `scale * direction` to the parameters inside.

    Afterwards their values are set back, bit for bit: to subtract what was added would leave
    rounding errors. Of the parameters alone there is a copy for that time.
    """
    with torch.no_grad():
        before = [parameter.clone() for parameter in parameters]
        for parameter, step in zip(parameters, direction, strict=True):
            parameter.add_(step * scale)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
