"""How fast an architecture learns, as its score: the sum of its training losses."""

from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoseg.architecture import AnyArchitecture
from autoseg.strategies.estimator import Score, ShortEstimator
from autoseg.strategies.strategy import Phase, SearchTask, StepLoss
from autoseg.training import DivergedError


class SpeedEstimator(ShortEstimator):
    """Trains each architecture as `ShortEstimator` does, and scores it by its training losses.

    The score is the negative mean over all steps of the loss before each step, so that the networks
    which learn fastest score highest. All samples see the same batches in the same order, the
    difference of two scores is one of architectures on the same images, and no image is scored.

    Source: Ru et al. 2021, "Speedy Performance Estimation for Neural Architecture Search", arXiv
    2006.04492, equation 1 (TSE), with steps in place of epochs; the mean orders as the sum does.
    """

    reads: ClassVar[frozenset[str]] = ShortEstimator.reads - {"val_images", "pruner"}
    score_name = "negative training loss"
    scored_on = " on trainA"

    def __init__(self, task: SearchTask) -> None:
        """Build nothing yet."""
        super().__init__(task)
        self._sum = self._nothing()

    @property
    def words(self) -> str:
        """How it scored."""
        return f"{super().words} and scored by their losses"

    def step(self, architecture: AnyArchitecture, share: Fraction) -> list[StepLoss]:
        """Make a training step of the architecture, and add its loss."""
        losses = super().step(architecture, share)
        self._sum += losses[0].value.double()
        return losses

    def score(self, architecture: AnyArchitecture, step: int, *, phase: Phase) -> Score:
        """Score the training, and drop it."""
        training = self._drop()
        total, self._sum = self._sum.item(), self._nothing()
        if (failure := training.failure()) is not None:
            raise DivergedError(failure)
        return Score(-total / training.num_done)

    def state_dict(self) -> dict[str, Any]:
        """Return the training of the present architecture, and the sum of its losses so far."""
        return {**super().state_dict(), "sum": self._sum.item()}

    def load_state_dict(self, state: dict[str, Any], architecture: AnyArchitecture) -> None:
        """Go back to a state that `state_dict` returned."""
        super().load_state_dict(state, architecture)
        self._sum = self._nothing() + state["sum"]

    def _nothing(self) -> Tensor:
        return torch.zeros((), dtype=torch.float64, device=self.task.device)
