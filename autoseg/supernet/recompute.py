"""Evaluate a module again in the backward pass instead of keeping what it computed."""

from contextlib import AbstractContextManager, nullcontext
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
        return nullcontext(), frozen_statistics(module)

    return checkpoint(
        module, *arguments, use_reentrant=False, preserve_rng_state=is_random, context_fn=contexts
    )
