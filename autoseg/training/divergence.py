"""Stop a training whose loss is no number any more."""

import math


class DivergedError(RuntimeError):
    """The loss became infinite or NaN."""


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
        f"the {what} loss is {loss} at step {step}, with learning rate {learning_rate:.3g}. "
        "Checkpoints from before this step are untouched. Try a third of the learning rate, "
        "--gradient-clip 1, --precision fp32 if this was bf16, or a larger batch; a label or image "
        "that is wrong can do this as well."
    )
