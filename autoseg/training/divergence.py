"""Stop a training whose loss is no number any more."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

ADVICE = (
    "Try a third of the learning rate, --gradient-clip 1, --precision fp32 if this was bf16, or a "
    "larger batch; a label or image that is wrong can do this as well."
)
"""What to do about numbers that are not finite."""

_REMEDY = f"Checkpoints from before this step are untouched. {ADVICE}"


class DivergedError(RuntimeError):
    """The loss, or the network's output, became infinite or NaN.

    Attributes:
        cause: What became so, where; a sentence without the remedy.
    """

    def __init__(self, cause: str, *, remedy: str = _REMEDY) -> None:
        """Put cause and remedy into one message."""
        super().__init__(f"{cause} {remedy}")
        self.cause = cause


def require_finite(loss: float, *, step: int, learning_rate: float, what: str) -> None:
    """Raise if the loss is not finite.

    Args:
        loss: Value of the loss.
        step: Number of the step, from 0.
        learning_rate: The learning rate of that step.
        what: Name of the loss and of the option that sets its learning rate.

    Raises:
        DivergedError: Names the step, the learning rate and what to try.
    """
    if math.isfinite(loss):
        return
    raise DivergedError(
        f"the {what} loss is {loss} at step {step}, with learning rate {learning_rate:.3g}."
    )


def require_finite_weights(weights: Iterable[tuple[str, Tensor]], *, step: int) -> None:
    """Raise if a weight is not finite: a gradient can be NaN where the loss was not.

    Args:
        weights: By name; asked before they are saved, for a training could never go on from them.
        step: Steps done.

    Raises:
        DivergedError: Names the first such tensor, and what to try.
    """
    named = list(weights)
    if not named:
        return
    are_finite = torch.stack([weight.isfinite().all() for _, weight in named]).tolist()
    if not all(are_finite):
        name = named[are_finite.index(False)][0]
        raise DivergedError(
            f"{name} holds NaN or infinity after step {step}, though the loss was finite: its "
            "gradient was not."
        )


def steps_between_reads(device: torch.device) -> int:
    """Return the steps between two looks at the losses, for each of which a GPU is waited for."""
    return 1 if device.type == "cpu" else 50


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pending:
    value: Tensor
    step: int
    learning_rate: float
    what: str
    is_fatal: bool


class PendingLosses:
    """Losses that stay on the device until they are read, many at once.

    Reading a number makes the CPU wait for the GPU, which then waits for the CPU's next command in
    its turn. A loss that is not finite is therefore found late, at the next `read`; whatever was
    trained since then is worth nothing, so that `read` must come before anything is saved.
    """

    def __init__(self) -> None:
        self._pending: list[_Pending] = []

    def add(
        self, loss: Tensor, *, step: int, learning_rate: float, what: str, is_fatal: bool = True
    ) -> None:
        """Remember a loss without waiting for it.

        Args:
            loss: A scalar on any device.
            step: Number of the step, from 0.
            learning_rate: The learning rate of that step.
            what: Name of the loss and of the option that sets its learning rate.
            is_fatal: False for a loss that is left out where it is not finite.
        """
        # A copy: the CUDA graph of the next step writes its loss to the same place.
        value = loss.detach().clone()
        self._pending.append(
            _Pending(
                value=value, step=step, learning_rate=learning_rate, what=what, is_fatal=is_fatal
            )
        )

    def read(self) -> dict[str, list[float]]:
        """Wait for the losses added since the last call, and forget them.

        Returns:
            By name, in the order in which they were added.

        Raises:
            DivergedError: Names the first one that is fatal and not finite.
        """
        pending, self._pending = self._pending, []
        losses: dict[str, list[float]] = {}
        if not pending:
            return losses
        values = torch.stack([loss.value for loss in pending]).tolist()
        for loss, value in zip(pending, values, strict=True):
            if not (loss.is_fatal or math.isfinite(value)):
                continue
            require_finite(value, step=loss.step, learning_rate=loss.learning_rate, what=loss.what)
            losses.setdefault(loss.what, []).append(value)
        return losses
