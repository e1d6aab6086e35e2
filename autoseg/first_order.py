"""Backward passes that are written by hand, and can themselves not be differentiated."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def first_order(remedy: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Refuse to run a `torch.autograd.Function`'s backward pass for a second derivative.

    torch's own `once_differentiable` refuses one that `backward` asks for, but
    `torch.autograd.grad` does not visit what has no connection to its inputs: the part of the
    derivative that goes through the function is then left out, in silence.

    Args:
        remedy: What to do instead, as the end of a sentence.

    Returns:
        The decorator of `backward`; what it decorates raises a RuntimeError where a graph of the
        backward pass is asked for, with `create_graph=True`.
    """

    def decorate(backward: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(backward)
        def checked(ctx: Any, *grad_outputs: Any) -> Any:
            if torch.is_grad_enabled():  # so autograd tells it
                name = backward.__qualname__.split(".")[0].removeprefix("_")
                raise RuntimeError(
                    f"{name}: its gradient cannot be differentiated again, as create_graph=True "
                    f"asks for; {remedy}."
                )
            return backward(ctx, *grad_outputs)

        return checked

    return decorate
