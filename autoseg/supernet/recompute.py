"""Evaluate a module again in the backward pass instead of keeping what it computed."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from autoseg.supernet.batch_norm import frozen_statistics


def recomputed(module: nn.Module, *arguments: Any, is_random: bool = False) -> Any:
    """Call a module and keep only its arguments and its result for the backward pass.

    The second evaluation does not count the batch again in the running statistics.

    Args:
        module: What is called.
        arguments: Arguments of the call.
        is_random: Whether it may draw random numbers, which the second evaluation then draws
            again. Nothing of the supernet's own does, and a CUDA graph could not.
    """

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _FrozenEachTime(module)

    return checkpoint(
        module, *arguments, use_reentrant=False, preserve_rng_state=is_random, context_fn=contexts
    )


class _FrozenEachTime(AbstractContextManager):
    """`frozen_statistics` for every backward pass over one graph, each of which enters it."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._entered = ExitStack()

    def __enter__(self) -> None:
        self._entered.enter_context(frozen_statistics(self._module))

    def __exit__(self, *_: object) -> None:
        self._entered.close()
