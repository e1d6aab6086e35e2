"""Samples that inherit weights, and are trained on alone before they are scored."""

from fractions import Fraction
from typing import Any, ClassVar

from autoseg.architecture import AnyArchitecture
from autoseg.networks.shared import SharedNetworks
from autoseg.strategies.estimator import Score, SharedEstimator, ShortEstimator
from autoseg.strategies.short_training import ShortTraining
from autoseg.strategies.space_kinds import trellis_architecture
from autoseg.strategies.strategy import Phase, SearchTask, StepLoss


class FinetunedEstimator(SharedEstimator):
    """Trains weights that are shared, and from them each architecture for some steps of its own.

    The shared weights stay as they are: a score depends on no sample before it.
    """

    reads: ClassVar[frozenset[str]] = SharedEstimator.reads | {"sample_steps"}

    def __init__(self, task: SearchTask) -> None:
        """Build the shared weights with random values."""
        super().__init__(task)
        supernet = self.trainer.supernet
        assert isinstance(supernet, SharedNetworks)
        self._own = _InheritingTraining(task, supernet)

    @property
    def num_steps(self) -> int:
        """Training steps of the shared weights, and those of every sample."""
        config = self.task.config
        return self._num_training_steps + config.num_samples * config.sample_steps

    @property
    def num_evaluations(self) -> int:
        """Passes of single architectures, with shared weights or their own."""
        return super().num_evaluations + self._own.num_evaluations

    @property
    def words(self) -> str:
        """How it scored."""
        return (
            f"and trained for {self.task.config.sample_steps:,} steps, from weights that were "
            f"shared for {self._num_done:,} steps"
        )

    def step(self, architecture: AnyArchitecture, share: Fraction) -> list[StepLoss]:
        """Make a training step of the shared weights, or afterwards of the architecture's own."""
        if share < self._training_share:
            return super().step(architecture, share)
        losses = self._own.step(architecture, share)
        self.is_trained = self._own.is_trained
        return losses

    def score(self, architecture: AnyArchitecture, step: int, *, phase: Phase) -> Score:
        """Score the network that was trained on, and drop it."""
        self.is_trained = False
        return self._own.score(architecture, step, phase=phase)

    def state_dict(self) -> dict[str, Any]:
        """Return the shared weights, and the training of the present architecture."""
        return {**super().state_dict(), "own": self._own.state_dict()}

    def load_state_dict(self, state: dict[str, Any], architecture: AnyArchitecture) -> None:
        """Go back to a state that `state_dict` returned."""
        super().load_state_dict(state, architecture)
        self._own.load_state_dict(state["own"], architecture)


class _InheritingTraining(ShortEstimator):
    """Trains each architecture from the weights that it has in the networks that share them."""

    def __init__(self, task: SearchTask, shared: SharedNetworks) -> None:
        super().__init__(task)
        self._shared = shared

    def _begin(self, architecture: AnyArchitecture) -> ShortTraining:
        training = ShortTraining(self.task, architecture)
        inherited = self._shared.network(trellis_architecture(architecture))
        training.network.load_state_dict(inherited.state_dict())
        return training
