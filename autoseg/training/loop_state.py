"""How far a loop is: what a training and a search keep alike, so that they can go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoseg.runs import restore_rng_state, rng_state, schema

LOOP_FIELDS: dict[str, schema.Check] = {
    "rng": schema.mapping,
    "step": schema.whole(),
    "loss_sum": schema.number(),
    "loss_count": schema.whole(),
}
"""What `LoopState` adds to a checkpoint."""


@dataclass(kw_only=True, slots=True)
class LoopState:
    """Steps done, and the losses since the last line of the log."""

    step: int = 0
    """Steps done."""
    loss_sum: float = 0.0
    """Sum of the losses since the last `take_mean`."""
    loss_count: int = 0
    """Number of the losses in `loss_sum`."""

    def add(self, loss: float) -> None:
        """Count a loss in."""
        self.loss_sum += loss
        self.loss_count += 1

    def take_mean(self) -> float | None:
        """Return the mean of the losses, and begin anew; None if there were none."""
        mean = self.loss_sum / self.loss_count if self.loss_count else None
        self.loss_sum, self.loss_count = 0.0, 0
        return mean

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: this, and the state of the random generators."""
        return {
            "rng": rng_state(),
            "step": self.step,
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go back to a state that `state_dict` returned, the random generators too."""
        restore_rng_state(saved["rng"])
        self.step = saved["step"]
        self.loss_sum, self.loss_count = saved["loss_sum"], saved["loss_count"]
