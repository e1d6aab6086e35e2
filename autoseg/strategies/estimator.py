"""How an architecture that a strategy has drawn is scored."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from torch import nn

from autoseg.architecture import AnyArchitecture, CellSpace
from autoseg.config import SearchConfig
from autoseg.data import Subset, labelled_indices
from autoseg.errors import UsageError
from autoseg.networks.shared import SharedNetworks
from autoseg.proposers import Course
from autoseg.strategies.short_training import ShortTraining, search_width
from autoseg.strategies.single_path import (
    PATH_SAMPLERS,
    SharedWeights,
    SinglePathTraining,
    path_of,
)
from autoseg.strategies.space_kinds import trellis_space
from autoseg.strategies.strategy import Batch, Phase, SearchTask, StepLoss
from autoseg.supernet import CellSupernet, Supernet, estimate_statistics
from autoseg.training import DivergedError, pixels_together, validate

_LOSS = "weights' (--weight-lr)"

_TRAINING = frozenset(
    {
        *("batch_size", "crop_size", "image_scale", "scale_range", "val_images", "precision"),
        *("class_uniform", "category_cap"),
        *("weight_lr", "weight_lr_final", "momentum", "weight_decay", "gradient_clip"),
        *("arch_steps", "num_samples", "num_workers", "resident_gib", "seed", "budget"),
    }
)


class Score(NamedTuple):
    """What an architecture is worth."""

    value: float
    """Higher is better; NaN if it is not defined."""
    num_averaged: int = 0
    """Classes in the mean, where it is an mIoU."""
    course: Course | None = None
    """How its training went, where a pruner may have stopped it."""


class Estimator(ABC):
    """Scores architectures, one after the other, by their mIoU on trainB or a cheaper number.

    A step belongs to a preparation, of which there may be none, or to the present architecture; it
    makes the preparation's epochs, and says when the architecture can be scored.
    """

    reads: ClassVar[frozenset[str]]
    """Fields of `SearchConfig` that it reads."""
    scores_cells: ClassVar[bool] = True
    """Whether it scores the architectures of a cell space."""
    score_name: ClassVar[str] = "mIoU"
    """What a score is."""
    scored_on: ClassVar[str] = " on trainB"
    """Which images it is of, to follow its name in a sentence."""

    is_trained: bool
    """True if the architecture of the last step can be scored."""

    def __init__(self, task: SearchTask) -> None:
        """Nothing is trained yet."""
        self.task = task
        self.is_trained = False

    @classmethod
    @abstractmethod
    def check(cls, config: SearchConfig) -> None:
        """Refuse settings that cannot work."""

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """Steps of the whole search, where the budget is no time."""

    @property
    @abstractmethod
    def num_evaluations(self) -> int:
        """Forward and backward passes of a network over a batch so far."""

    @property
    @abstractmethod
    def words(self) -> str:
        """How it scored, to follow "architectures drawn at random"."""

    @abstractmethod
    def epochs_done(self, share: Fraction) -> int:
        """Count the epochs of the preparation that are over when `share` is spent."""

    @property
    def is_over(self) -> bool:
        """True if all that was asked for has been scored, though the budget is not spent."""
        return False

    def can_score(self, share: Fraction) -> bool:
        """Tell whether the architecture of the last step can be scored when `share` is spent."""
        return self.is_trained

    @abstractmethod
    def step(self, architecture: AnyArchitecture, share: Fraction) -> list[StepLoss]:
        """Make a step of the preparation, or for the present architecture."""

    @abstractmethod
    def score(self, architecture: AnyArchitecture, step: int, *, phase: Phase) -> Score:
        """Score the architecture that is trained; the next step is the next one's.

        Raises:
            DivergedError: If a loss of its training was not finite, or its output holds NaN; the
                next one can be scored as if nothing had been.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any], architecture: AnyArchitecture) -> None:
        """Go back to a state that `state_dict` returned; the architecture is the present one."""

    @cached_property
    def _half_b(self) -> Subset:
        return Subset(self.task.train_dataset, self.task.half("b"))

    @cached_property
    def _scored(self) -> list[int]:
        """Which images of trainB score."""
        return labelled_indices(self._half_b, self.task.config.val_images)

    def _validate(self, network: nn.Module, step: int, phase: Phase) -> Score:
        with phase("scoring") as on_image:
            score = validate(
                network,
                self._half_b,
                device=self.task.device,
                indices=self._scored,
                image_scale=self.task.config.image_scale,
                step=step,
                batch_pixels=pixels_together(
                    self.task.config, num_classes=self._half_b.num_classes
                ),
                on_image=on_image,
            )
        return Score(score.mean_iou, score.num_averaged)


class ShortEstimator(Estimator):
    """Trains each architecture from scratch for a number of steps, with the same batches."""

    reads: ClassVar[frozenset[str]] = _TRAINING | {"sample_steps", "pruner"}

    def __init__(self, task: SearchTask) -> None:
        """Build nothing yet."""
        super().__init__(task)
        self._num_evaluations = 0
        self._training: ShortTraining | None = None
        self._batches: Iterator[Batch] | None = None

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """Refuse steps that are too few for one sample."""
        if 0 < config.arch_steps < config.sample_steps:
            raise UsageError(
                f"arch_steps = {config.arch_steps}, but each sample takes sample_steps = "
                f"{config.sample_steps}; use --arch-steps {config.sample_steps} or more, or "
                f"--sample-steps {config.arch_steps} or fewer."
            )

    @property
    def num_steps(self) -> int:
        """Training steps of all samples."""
        config = self.task.config
        num_samples = config.arch_steps // config.sample_steps or config.num_samples
        return num_samples * config.sample_steps

    @property
    def num_evaluations(self) -> int:
        """One pass a step."""
        return self._num_evaluations

    @property
    def words(self) -> str:
        """How it scored."""
        return f"and trained for {self.task.config.sample_steps:,} steps"

    def epochs_done(self, share: Fraction) -> int:
        """There is no preparation."""
        return 0

    def step(self, architecture: AnyArchitecture, share: Fraction) -> list[StepLoss]:
        """Make a training step of the architecture."""
        training = self._training = self._training or self._begin(architecture)
        if self._batches is None:
            self._batches = self.task.batches("a", start_step=training.num_done)
        rate = training.learning_rate
        loss = training.step(next(self._batches))
        self._num_evaluations += 1
        self.is_trained = training.is_done
        return [StepLoss(_LOSS, loss, rate, is_fatal=False)]

    def score(self, architecture: AnyArchitecture, step: int, *, phase: Phase) -> Score:
        """Score the network that was trained, and drop it."""
        training = self._drop()
        if (failure := training.failure()) is not None:
            raise DivergedError(failure)
        return self._validate(training.network, step, phase)

    def state_dict(self) -> dict[str, Any]:
        """Return the training of the present architecture."""
        return {
            "training": None if self._training is None else self._training.state_dict(),
            "num_evaluations": self._num_evaluations,
        }

    def load_state_dict(self, state: dict[str, Any], architecture: AnyArchitecture) -> None:
        """Go back to a state that `state_dict` returned."""
        self._num_evaluations = state["num_evaluations"]
        self._training = self._batches = None
        self.is_trained = False
        if state["training"] is not None:
            self._training = self._begin(architecture)
            self._training.load_state_dict(state["training"])

    def _begin(self, architecture: AnyArchitecture) -> ShortTraining:
        return ShortTraining(self.task, architecture)

    def _drop(self) -> ShortTraining:
        """Return the present training, and be ready for the next one."""
        assert self._training is not None
        training, self._training = self._training, None
        self._batches, self.is_trained = None, False
        return training


class SupernetEstimator(Estimator):
    """Trains a supernet by sampled paths, and scores each architecture by the weights it inherits.

    The statistics of batch norm are those of the architecture alone, estimated anew for each.

    Source: Guo et al. 2019, "Single Path One-Shot Neural Architecture Search with Uniform
    Sampling", arXiv 1904.00420.
    """

    reads: ClassVar[frozenset[str]] = _TRAINING | {"path_sampler", "num_epochs"}

    NUM_STATISTICS_BATCHES: ClassVar[int] = 8
    """Batches of trainA that an architecture's statistics are averaged over."""
    TIME_SHARE: ClassVar[Fraction] = Fraction(3, 4)
    """Part of a budget of time that trains the supernet."""

    def __init__(self, task: SearchTask) -> None:
        """Build the supernet with random weights."""
        super().__init__(task)
        config = task.config
        supernet = self._build_supernet().to(task.device)
        self.trainer = SinglePathTraining(
            supernet.train(),
            config,
            sampler=PATH_SAMPLERS[config.path_sampler],
            ignore_index=task.train_dataset.ignore_index,
            device=task.device,
        )
        self._num_training_steps = config.arch_steps or config.num_epochs * task.steps_per_pass
        self._training_share = (
            Fraction(self._num_training_steps, self.num_steps)
            if config.budget is None
            else self.TIME_SHARE
        )
        self._num_done = 0
        self._batches: Iterator[Batch] | None = None

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """Take any settings."""

    @property
    def num_steps(self) -> int:
        """Training steps of the supernet, and one for each sample."""
        return self._num_training_steps + self.task.config.num_samples

    @property
    def num_evaluations(self) -> int:
        """Passes of single paths."""
        return self.trainer.num_evaluations

    @property
    def words(self) -> str:
        """How it scored."""
        return (
            f"and scored by the weights of a supernet that was trained for {self._num_done:,} steps"
        )

    def epochs_done(self, share: Fraction) -> int:
        """Count the epochs of the supernet's training, equal parts of it."""
        return int(min(Fraction(1), share / self._training_share) * self.task.config.num_epochs)

    def step(self, architecture: AnyArchitecture, share: Fraction) -> list[StepLoss]:
        """Make a training step of the supernet; after its training there is nothing to do."""
        if share >= self._training_share:
            self.is_trained = True
            return []
        if self._batches is None:
            self._batches = self.task.batches("a", start_step=self._num_done)
        progress = float(share / self._training_share)
        loss = self.trainer.step(*next(self._batches), progress=progress)
        self._num_done += 1
        return [StepLoss(_LOSS, loss, self.trainer.learning_rate(progress))]

    def score(self, architecture: AnyArchitecture, step: int, *, phase: Phase) -> Score:
        """Score the architecture's part of the supernet."""
        self.is_trained = False
        path = path_of(self.trainer.supernet, architecture)
        batches = self.task.batches("a")  # the same for every architecture
        images = (next(batches)[0].to(self.task.device) for _ in range(self.NUM_STATISTICS_BATCHES))
        estimate_statistics(path, images)
        return self._validate(path, step, phase)

    def state_dict(self) -> dict[str, Any]:
        """Return the supernet, its optimizer and the sampler's state."""
        return {"trainer": self.trainer.state_dict(), "num_done": self._num_done}

    def load_state_dict(self, state: dict[str, Any], architecture: AnyArchitecture) -> None:
        """Go back to a state that `state_dict` returned."""
        self.trainer.load_state_dict(state["trainer"])
        self._num_done = state["num_done"]
        self._batches, self.is_trained = None, False

    def _build_supernet(self) -> SharedWeights:
        """Build the weights that are shared, with random values."""
        space, dataset = self.task.space, self.task.train_dataset
        if isinstance(space, CellSpace):
            return CellSupernet(
                space, num_classes=dataset.num_classes, in_channels=dataset.num_channels
            )
        return Supernet(
            space,
            num_classes=dataset.num_classes,
            backend="torch",  # a single path is evaluated by plain operators
            in_channels=dataset.num_channels,
        )


class SharedEstimator(SupernetEstimator):
    """Shares the weights of the networks that are retrained, not those of the paper's supernet.

    Nothing but the weights is then otherwise than in `ShortEstimator`.
    """

    scores_cells: ClassVar[bool] = False

    def _build_supernet(self) -> SharedWeights:
        space = trellis_space(self.task.space)
        return SharedNetworks(
            space,
            num_classes=self.task.train_dataset.num_classes,
            width=search_width(space),
            in_channels=self.task.train_dataset.num_channels,
        )
