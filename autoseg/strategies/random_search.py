"""Random search: draw architectures, score each, keep the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from autoseg.architecture import Architecture, sample_architecture
from autoseg.config import SearchConfig
from autoseg.strategies.crops import require_crop_for_space
from autoseg.strategies.estimator import ESTIMATORS
from autoseg.strategies.strategy import Phase, Report, Round, SearchTask, StepLoss, Strategy
from autoseg.training import DivergedError

_MAX_DRAWS = 100
"""Draws after which an architecture that was scored before is taken again: the space is small."""


@dataclass(frozen=True, slots=True)
class _Sample:
    architecture: Architecture
    score: float  # NaN if no pixel of trainB is labelled, or if it failed
    failure: str | None = None  # why it has no score; None if it has one


class RandomSearch(Strategy):
    """Draws each architecture of the space with the same probability and keeps the best.

    A round is a sample that an estimator scores by its mIoU on trainB, or an epoch of what the
    estimator prepares. The val split is not touched. With equal budgets this is what any other
    strategy has to beat.

    Sources: Li and Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture
    Search", arXiv 1902.07638; Yu et al. 2020, "Evaluating the Search Phase of Neural Architecture
    Search", arXiv 1902.08142.
    """

    def __init__(self, task: SearchTask) -> None:
        """Draw the first architecture, and build the estimator."""
        self.task = task
        # Not the seed itself: an estimator that draws architectures too must not draw the same.
        (seed,) = np.random.SeedSequence((task.config.seed, 1)).generate_state(1, np.uint64)
        self._generator = torch.Generator().manual_seed(int(seed))
        self._samples: list[_Sample] = []
        self._next = self._draw()
        self.estimator = ESTIMATORS[task.config.estimator](task)
        has_epochs = self.estimator.epochs_done(Fraction(1)) > 0
        self.round_name = "round" if has_epochs else "sample"
        self.logs = frozenset(
            {"sample", "score", "num_averaged", "failure", "best_sample", "best_score"}
            | {"architecture"}
            | ({"epoch"} if has_epochs else set())
        )

    @classmethod
    def settings(cls, config: SearchConfig) -> frozenset[str]:
        """Return those of the estimator, and its choice."""
        return ESTIMATORS[config.estimator].reads | {"estimator"}

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse a crop that is too small for the space, a batch that does not fit trainA, and what
        the estimator cannot do."""
        require_crop_for_space(task)
        task.batches("a")
        ESTIMATORS[task.config.estimator].check(task.config)

    @property
    def num_steps(self) -> int:
        """Those of the estimator."""
        return self.estimator.num_steps

    @property
    def num_evaluations(self) -> int:
        """Those of the estimator."""
        return self.estimator.num_evaluations

    def step(self, step: int, share: Fraction) -> Sequence[StepLoss]:
        """Let the estimator make a step."""
        return self.estimator.step(self._next, share)

    def rounds_done(self, share: Fraction) -> int:
        """Count the estimator's epochs and the samples that it has, or can score."""
        return (
            self.estimator.epochs_done(share) + len(self._samples) + int(self.estimator.is_trained)
        )

    def end_round(self, step: int, share: Fraction, *, phase: Phase) -> Round:
        """Score the sample that is ready, and draw the next one.

        One whose loss or output is not finite has no score and a reason, and the search goes on.
        """
        if not self.estimator.is_trained:
            epoch = self.estimator.epochs_done(share)
            return Round(line={"epoch": epoch}, shown={}, message=f"epoch {epoch} of the supernet")
        num_averaged = 0
        try:
            score = self.estimator.score(self._next, step, phase=phase)
            sample, num_averaged = _Sample(self._next, score.mean_iou), score.num_averaged
            words = f"mIoU {score.mean_iou:.4f}"
        except DivergedError as error:
            sample = _Sample(self._next, math.nan, error.cause)
            words = f"failed ({error.cause.rstrip('.')})"
        self._samples.append(sample)
        number, best = len(self._samples), self._best()
        best_score = math.nan if best is None else self._samples[best].score
        line = {
            "sample": number,
            "score": sample.score,
            "num_averaged": num_averaged,
            "failure": sample.failure,
            "best_sample": None if best is None else best + 1,
            "best_score": best_score,
            "architecture": self._next.to_dict(),
        }
        path = " ".join(map(str, self._next.path))
        self._next = self._draw()
        return Round(
            line=line,
            shown={"score": sample.score, "best_score": best_score},
            message=f"sample {number}: {words}, path {path}",
        )

    def decode(self) -> Architecture:
        """Return the best architecture so far; the one drawn last if none was scored yet."""
        best = self._best()
        return self._next if best is None else self._samples[best].architecture

    def report(self) -> Report:
        """Tell the best score, and how the others spread."""
        scores = sorted((s.score for s in self._samples if not math.isnan(s.score)), reverse=True)
        failures = [s.failure for s in self._samples if s.failure is not None]
        if failures and len(failures) == len(self._samples):
            failure = (
                f"None of the {len(failures)} architectures that were drawn could be scored; the "
                f"last because {failures[-1]}"
            )
            return Report(text=failure, doubts=(failure,), failure=failure)
        failed = (
            f" {len(failures)} more failed; metrics.jsonl says why, under 'failure'."
            if failures
            else ""
        )
        if len(scores) < 2:
            doubt = (
                f"Only {len(scores)} of the architectures that were drawn has a score: nothing was "
                "chosen. Give the search more time, or fewer steps to what comes before a score."
                f"{failed}"
            )
            return Report(
                text=f"Reason to doubt that the search decided this:\n- {doubt}", doubts=(doubt,)
            )
        best = self._best()
        assert best is not None
        text = (
            f"{len(scores)} architectures drawn at random {self.estimator.words}: mIoU on trainB "
            f"{fmean(scores):.4f} +- {stdev(scores):.4f}, best {scores[0]:.4f} (sample "
            f"{best + 1}), {scores[0] - scores[1]:.4f} ahead of the next.{failed}\n"
            "Whether that ranks them as a full training does, only retraining tells."
        )
        return Report(text=text, doubts=())

    def state_dict(self) -> dict[str, Any]:
        """Return the samples with their scores, and the estimator's state."""
        return {
            "generator": self._generator.get_state(),
            "next": self._next.to_dict(),
            "samples": [
                {
                    "architecture": sample.architecture.to_dict(),
                    "score": sample.score,
                    "failure": sample.failure,
                }
                for sample in self._samples
            ],
            "estimator": self.estimator.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self._generator.set_state(state["generator"].cpu())
        self._next = Architecture.from_dict(state["next"])
        self._samples = [
            # Checkpoints from before a sample could fail lack that.
            _Sample(Architecture.from_dict(s["architecture"]), s["score"], s.get("failure"))
            for s in state["samples"]
        ]
        self.estimator.load_state_dict(state["estimator"], self._next)

    def _draw(self) -> Architecture:
        """Draw an architecture that was not scored yet, if one turns up soon."""
        known = {sample.architecture for sample in self._samples}
        drawn = sample_architecture(self.task.space, self._generator)
        for _ in range(_MAX_DRAWS - 1):
            if drawn not in known:
                break
            drawn = sample_architecture(self.task.space, self._generator)
        return drawn

    def _best(self) -> int | None:
        """Return the number of the best sample, from 0: of equal ones the first; None if all failed
        or there is none."""
        scores = {
            number: -1.0 if math.isnan(sample.score) else sample.score
            for number, sample in enumerate(self._samples)
            if sample.failure is None
        }
        return max(scores, key=scores.__getitem__, default=None)
