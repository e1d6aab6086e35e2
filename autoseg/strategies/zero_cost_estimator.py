"""Estimators that score an architecture by its untrained network."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoseg.architecture import AnyArchitecture
from autoseg.config import SearchConfig
from autoseg.strategies.estimator import Estimator, Score
from autoseg.strategies.short_training import build_candidate
from autoseg.strategies.strategy import Batch, Phase, SearchTask, StepLoss
from autoseg.training import segmentation_loss
from autoseg.upload import to_device
from autoseg.zero_cost import ZERO_COST_SCORES

NUM_IMAGES = 16
"""Images that a score is of, at least; of whole batches, and of two or more."""


class ZeroCostEstimator(Estimator):
    """Scores the network that `ShortEstimator` would train, before its first step.

    All networks get their random weights from the same seed, and see the same augmented images of
    trainA. A step is a sample. Higher scores are taken for better ones.
    """

    reads: ClassVar[frozenset[str]] = frozenset(
        {
            *("batch_size", "crop_size", "image_scale", "scale_range"),
            *("class_uniform", "category_cap", "num_workers", "resident_gib"),
            *("num_samples", "seed", "budget"),
        }
    )
    key: ClassVar[str]
    """The name of the score in `ZERO_COST_SCORES`."""
    scored_on = ""

    def __init__(self, task: SearchTask) -> None:
        """Build nothing yet."""
        super().__init__(task)
        self._num_scored = 0
        self._batches: list[Batch] = []

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """Take any settings."""

    @property
    def num_steps(self) -> int:
        """One for each sample."""
        return self.task.config.num_samples

    @property
    def num_evaluations(self) -> int:
        """The batches that were looked at, for each sample."""
        return self._num_scored * self._num_batches

    @property
    def words(self) -> str:
        """How it scored."""
        return "and scored without training"

    def epochs_done(self, share: Fraction) -> int:
        """There is no preparation."""
        return 0

    def step(self, architecture: AnyArchitecture, share: Fraction) -> list[StepLoss]:
        """Say that the architecture can be scored."""
        self.is_trained = True
        return []

    def score(self, architecture: AnyArchitecture, step: int, *, phase: Phase) -> Score:
        """Score the untrained network; NaN if its score is not finite."""
        task = self.task
        with phase("scoring"):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(task.config.seed)
                network = build_candidate(task, architecture).to(task.device)
            value = ZERO_COST_SCORES[self.key](network, self._images(), self._loss)
        self._num_scored += 1
        self.is_trained = False
        return Score(value if math.isfinite(value) else math.nan)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of samples that were scored."""
        return {"num_scored": self._num_scored}

    def load_state_dict(self, state: dict[str, Any], architecture: AnyArchitecture) -> None:
        """Go back to a state that `state_dict` returned."""
        self._num_scored, self.is_trained = state["num_scored"], False

    @property
    def _num_batches(self) -> int:
        return max(2, math.ceil(NUM_IMAGES / self.task.config.batch_size))

    def _images(self) -> Sequence[Batch]:
        """Return the batches, read when they are first asked for."""
        if not self._batches:
            device = self.task.device
            self._batches = [
                (to_device(images, device), to_device(target, device))
                for images, target in islice(self.task.batches("a"), self._num_batches)
            ]
        return self._batches

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return segmentation_loss(logits, target, ignore_index=self.task.train_dataset.ignore_index)


class ParametersEstimator(ZeroCostEstimator):
    """The number of parameters: the more the better."""

    key, score_name = "parameters", "parameters"


class MACsEstimator(ZeroCostEstimator):
    """The multiply-accumulates of an image of the crop's size: the more the better."""

    key, score_name = "macs", "MACs"


class JacovEstimator(ZeroCostEstimator):
    """How little the gradients of different images correlate: `jacov`."""

    key, score_name = "jacov", "jacov"


class NWOTEstimator(ZeroCostEstimator):
    """How differently images switch the rectified units: `nwot`."""

    key, score_name = "nwot", "NWOT"


class SNIPEstimator(ZeroCostEstimator):
    """How much the loss depends on the weights: `snip`."""

    key, score_name = "snip", "SNIP"


class ZiCoEstimator(ZeroCostEstimator):
    """How large and steady the gradients are over batches: `zico`."""

    key, score_name = "zico", "ZiCo"
