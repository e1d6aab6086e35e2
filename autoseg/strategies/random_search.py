"""Random search: draw architectures, train each for a short time, keep the best."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean, stdev
from typing import Any, ClassVar

import torch

from autoseg.architecture import Architecture, sample_architecture
from autoseg.data import Subset, labelled_indices
from autoseg.errors import UsageError
from autoseg.strategies.crops import require_crop_for_space
from autoseg.strategies.short_training import ShortTraining
from autoseg.strategies.strategy import (
    Batch,
    Phase,
    Report,
    Round,
    SearchTask,
    StepLoss,
    Strategy,
)
from autoseg.training import validate

_MAX_DRAWS = 100
"""Draws after which an architecture that was scored before is taken again: the space is small."""


@dataclass(frozen=True, slots=True)
class _Sample:
    architecture: Architecture
    score: float  # NaN if no pixel of trainB is labelled


class RandomSearch(Strategy):
    """Draws each architecture of the space with the same probability and keeps the best.

    A round is a sample: an architecture is trained on trainA for a number of steps, from the same
    seed as all others, and scored by the mIoU on trainB. The val split is not touched. With equal
    budgets this is what any other strategy has to beat.

    Sources: Li and Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture
    Search", arXiv 1902.07638; Yu et al. 2020, "Evaluating the Search Phase of Neural Architecture
    Search", arXiv 1902.08142.
    """

    round_name: ClassVar[str] = "sample"
    logs: ClassVar[frozenset[str]] = frozenset(
        {"sample", "score", "num_averaged", "best_sample", "best_score", "architecture"}
    )
    reads: ClassVar[frozenset[str]] = frozenset(
        {
            *("budget", "arch_steps", "num_samples", "sample_steps", "seed", "num_workers"),
            *("batch_size", "crop_size", "image_scale", "scale_range", "val_images", "precision"),
            *("weight_lr", "weight_lr_final", "momentum", "weight_decay", "gradient_clip"),
        }
    )

    def __init__(self, task: SearchTask) -> None:
        """Draw the first architecture; nothing is built yet."""
        self.task = task
        self._generator = torch.Generator().manual_seed(task.config.seed)
        self._samples: list[_Sample] = []
        self._training: ShortTraining | None = None
        self._batches: Iterator[Batch] | None = None
        self._num_evaluations = 0
        self._next = self._draw()
        self._scored = Subset(task.train_dataset, task.half("b"))
        self._indices = labelled_indices(self._scored, task.config.val_images)

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse a crop that is too small for the space, a batch that does not fit trainA, and
        steps that are too few for one sample."""
        require_crop_for_space(task)
        task.batches("a")
        config = task.config
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
        """Passes of the samples' networks, one a step."""
        return self._num_evaluations

    def step(self, step: int, share: Fraction) -> list[StepLoss]:
        """Make a training step of the present sample."""
        training = self._training = self._training or ShortTraining(self.task, self._next)
        if self._batches is None:
            # The same batches for every sample.
            self._batches = self.task.batches("a", start_step=training.num_done)
        rate = training.learning_rate
        loss = training.step(next(self._batches))
        self._num_evaluations += 1
        return [StepLoss("weights' (--weight-lr)", loss, rate)]

    def rounds_done(self, share: Fraction) -> int:
        """Count the samples whose training is over."""
        is_trained = self._training is not None and self._training.is_done
        return len(self._samples) + is_trained

    def end_round(self, step: int, share: Fraction, *, phase: Phase) -> Round:
        """Score the sample that was trained, and draw the next one."""
        assert self._training is not None
        with phase("scoring") as on_image:
            score = validate(
                self._training.network,
                self._scored,
                device=self.task.device,
                indices=self._indices,
                image_scale=self.task.config.image_scale,
                step=step,
                on_image=on_image,
            )
        self._samples.append(_Sample(self._next, score.mean_iou))
        self._training = self._batches = None
        number, best = len(self._samples), self._best()
        line = {
            "sample": number,
            "score": score.mean_iou,
            "num_averaged": score.num_averaged,
            "best_sample": best + 1,
            "best_score": self._samples[best].score,
            "architecture": self._next.to_dict(),
        }
        path = " ".join(map(str, self._next.path))
        message = f"sample {number}: mIoU {score.mean_iou:.4f}, path {path}"
        self._next = self._draw()
        return Round(
            line=line,
            shown={"score": score.mean_iou, "best_score": self._samples[best].score},
            message=message,
        )

    def decode(self) -> Architecture:
        """Return the best architecture so far; the first one drawn if none was scored yet."""
        return self._samples[self._best()].architecture if self._samples else self._next

    def report(self) -> Report:
        """Tell the best score, and how the others spread."""
        scores = sorted((s.score for s in self._samples if not math.isnan(s.score)), reverse=True)
        if len(scores) < 2:
            doubt = (
                f"Only {len(scores)} of the architectures that were drawn has a score: nothing was "
                "chosen. Give the search more time, or samples fewer steps (--sample-steps)."
            )
            return Report(
                text=f"Reason to doubt that the search decided this:\n- {doubt}", doubts=(doubt,)
            )
        text = (
            f"{len(scores)} architectures drawn at random and trained for "
            f"{self.task.config.sample_steps:,} steps: mIoU on trainB "
            f"{fmean(scores):.4f} +- {stdev(scores):.4f}, best {scores[0]:.4f} (sample "
            f"{self._best() + 1}), {scores[0] - scores[1]:.4f} ahead of the next.\n"
            "Whether so short a training ranks them as a full one does, only retraining tells."
        )
        return Report(text=text, doubts=())

    def state_dict(self) -> dict[str, Any]:
        """Return the samples with their scores, and the training of the present one."""
        return {
            "generator": self._generator.get_state(),
            "next": self._next.to_dict(),
            "samples": [
                {"architecture": s.architecture.to_dict(), "score": s.score} for s in self._samples
            ],
            "training": None if self._training is None else self._training.state_dict(),
            "num_evaluations": self._num_evaluations,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self._generator.set_state(state["generator"].cpu())
        self._next = Architecture.from_dict(state["next"])
        self._samples = [
            _Sample(Architecture.from_dict(s["architecture"]), s["score"]) for s in state["samples"]
        ]
        self._num_evaluations = state["num_evaluations"]
        self._training = self._batches = None
        if state["training"] is not None:
            self._training = ShortTraining(self.task, self._next)
            self._training.load_state_dict(state["training"])

    def _draw(self) -> Architecture:
        """Draw an architecture that was not scored yet, if one turns up soon."""
        known = {sample.architecture for sample in self._samples}
        drawn = sample_architecture(self.task.space, self._generator)
        for _ in range(_MAX_DRAWS - 1):
            if drawn not in known:
                break
            drawn = sample_architecture(self.task.space, self._generator)
        return drawn

    def _best(self) -> int:
        """Return the number of the best sample, from 0: of equal ones the first."""
        scores = [-1.0 if math.isnan(s.score) else s.score for s in self._samples]
        return scores.index(max(scores))
