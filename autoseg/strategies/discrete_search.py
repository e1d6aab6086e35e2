"""Searches that try one architecture after the other: propose, score, keep the best."""

import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from statistics import fmean, stdev
from typing import Any, ClassVar

from autoseg.architecture import AnyArchitecture, CellSpace, architecture_from_dict
from autoseg.config import SearchConfig
from autoseg.data import images_in
from autoseg.errors import UsageError
from autoseg.proposers import (
    Course,
    Domain,
    DomainSampler,
    SharedStorage,
    Study,
    Trial,
)
from autoseg.strategies.costs import task_costs
from autoseg.strategies.crops import require_crop_for_space
from autoseg.strategies.estimator import Score
from autoseg.strategies.estimators import build_estimator, estimator_type
from autoseg.strategies.pruned_training import PrunedEstimator
from autoseg.strategies.space_kinds import build_domain, not_for_cells, require_for_cells
from autoseg.strategies.strategy import Phase, Report, Round, SearchTask, StepLoss, Strategy
from autoseg.training import DivergedError

_PURPOSE = 1
"""Beside the seed: an estimator that draws architectures too must not draw the same."""

_COURSE = frozenset({"trained_steps", "is_pruned", "bracket", "rungs"})
"""Names in metrics.jsonl that say how far a pruner let a sample train."""

_OF_A_WORKER = frozenset({"storage", "worker", "num_samples", "num_workers", "resident_gib"})
"""Settings in which searches that share their trials may differ."""


class DiscreteSearch(Strategy):
    """Scores the architectures that a sampler proposes, and keeps the best.

    A round is a sample that an estimator scores, most by its mIoU on trainB, or an epoch of what
    the estimator prepares. The val split is not touched. What is proposed is a function of the seed
    and of the samples before; they are kept in a study, of which a checkpoint has a bookmark.
    """

    how: ClassVar[str]
    """How the architectures are chosen, to follow their number."""
    sampler_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings that `sampler` and `costs` read."""

    def __init__(self, task: SearchTask) -> None:
        """Open the study, and build the estimator."""
        self.task = task
        seed = (task.config.seed, _PURPOSE, task.config.worker)
        self.study = Study(
            self.sampler(build_domain(task), task.config, seed),
            journal=task.journal,
            shared=self._shared(task),
        )
        self.has_shared_trials = self.study.shared is not None
        self._num_scored = 0
        self.estimator = build_estimator(task, self._others)
        has_epochs = self.estimator.epochs_done(Fraction(1)) > 0
        self.round_name = "round" if has_epochs else "sample"
        self.logs = frozenset(
            {"sample", "score", "num_averaged", "failure", "best_sample", "best_score"}
            | {"architecture"}
            | self.cost_names
            | ({"epoch"} if has_epochs else set())
            | (_COURSE if isinstance(self.estimator, PrunedEstimator) else set())
        )
        self._present: AnyArchitecture | None = None

    @property
    def cost_names(self) -> frozenset[str]:
        """Names of what `costs` returns."""
        return frozenset()

    @property
    def choice(self) -> str:
        """A sentence, and a space, on what is kept where that is not the highest score's."""
        return ""

    @classmethod
    @abstractmethod
    def sampler(
        cls, domain: Domain[AnyArchitecture], config: SearchConfig, seed: tuple[int, ...]
    ) -> DomainSampler[AnyArchitecture]:
        """Build what proposes architectures."""

    @classmethod
    def settings(cls, config: SearchConfig) -> frozenset[str]:
        """Return those of the estimator and its choice, and those of the sampler."""
        own = {"estimator", "max_macs", "max_latency", "latency_table", "storage", "worker"}
        return estimator_type(config).reads | own | cls.sampler_settings

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse a crop that is too small for the space, a batch that does not fit trainA, and what
        the estimator cannot do, also with cells alone."""
        estimator = estimator_type(task.config)
        require_for_cells(task)
        if isinstance(task.space, CellSpace) and not estimator.scores_cells:
            raise UsageError(
                not_for_cells(
                    f"--estimator {task.config.estimator}",
                    task.space,
                    instead="--estimator supernet, short or one without training",
                )
            )
        require_crop_for_space(task)
        task.batches("a")
        estimator.check(task.config)
        task_costs(task)
        cls._shared(task)

    @classmethod
    def _shared(cls, task: SearchTask) -> SharedStorage | None:
        """Return the database, under a name of all that decides a score."""
        config = task.config
        if config.storage is None:
            return None
        absent = {name for name in ("pruner", "max_latency") if getattr(config, name) is None}
        absent |= {"front_cost"} if config.front_cost == "macs" else set()
        decided = cls.settings(config) - _OF_A_WORKER - absent - {"latency_table"}
        settings = {name: getattr(config, name) for name in decided}
        decides = [settings, task.space.to_dict(), images_in(task.train_dataset, task.val_dataset)]
        if task.latency_table is not None:  # whatever its file is called
            decides.append(task.latency_table.to_dict())
        text = json.dumps(decides, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        name = f"{cls.__name__} {task.space.name} {digest}"
        return SharedStorage(config.storage, study_name=name, worker=config.worker)

    @property
    def num_steps(self) -> int:
        """Steps that the estimator makes."""
        return self.estimator.num_steps

    @property
    def num_evaluations(self) -> int:
        """Evaluations that the estimator has made."""
        return self.estimator.num_evaluations

    @property
    def present(self) -> AnyArchitecture:
        """What is trained or scored now."""
        if self._present is None:
            self._present = self.study.propose()
        return self._present

    def step(self, step: int, share: Fraction) -> Sequence[StepLoss]:
        """Let the estimator make a step."""
        return self.estimator.step(self.present, share)

    def rounds_done(self, share: Fraction) -> int:
        """Count the estimator's epochs and the samples that it has, or can score."""
        num_ready = int(self.estimator.can_score(share))
        return self.estimator.epochs_done(share) + self._num_scored + num_ready

    def end_round(self, step: int, share: Fraction, *, phase: Phase) -> Round:
        """Score the sample that is ready.

        One whose loss or output is not finite has no score and a reason, and the search goes on.
        """
        if not self.estimator.can_score(share):
            epoch = self.estimator.epochs_done(share)
            return Round(line={"epoch": epoch}, shown={}, message=f"epoch {epoch} of the supernet")
        architecture, score, failure = self.present, Score(math.nan), None
        try:
            score = self.estimator.score(architecture, step, phase=phase)
            words = f"{self.estimator.score_name} {written(score.value)}{_written(score.course)}"
        except DivergedError as error:
            failure = error.cause
            words = f"failed ({failure.rstrip('.')})"
        costs = self.costs(architecture)
        scores = None if math.isnan(score.value) else (score.value, *costs.values())
        added = self.study.add(architecture, scores, failure=failure, course=score.course)
        number = added.number + 1
        self._num_scored += 1
        self._present = None
        best = self.best()
        best_score = math.nan if best is None or best.scores is None else best.scores[0]
        line = {
            "sample": number,
            "score": score.value,
            "num_averaged": score.num_averaged,
            **_logged(score.course),
            **costs,
            "failure": failure,
            "best_sample": None if best is None else best.number + 1,
            "best_score": best_score,
            "architecture": architecture.to_dict(),
        }
        return Round(
            line=line,
            shown={"score": score.value, "best_score": best_score},
            message=f"sample {number}: {words}, {architecture.summary}",
            is_last=self.estimator.is_over,
        )

    def _others(self) -> Sequence[Trial[AnyArchitecture]]:
        """Return the trials that the present sample is compared with while it is trained.

        Those that are shared may have it already: a worker that was killed before it saved.
        """
        trials = self.study.trials
        if not self.has_shared_trials:
            return trials
        return [trial for trial in trials if trial.value != self._present]

    def costs(self, architecture: AnyArchitecture) -> dict[str, float]:
        """Return what is minimised beside the score, by its name in metrics.jsonl."""
        return {}

    def best(self) -> Trial[AnyArchitecture] | None:
        """Return the sample with the highest score, of equal ones the first; None if all failed or
        there is none. Where a pruner stops some, those that were trained for longest come first."""
        candidates = [trial for trial in self.study.trials if trial.failure is None]
        return max(candidates, key=lambda trial: trial.merit, default=None)

    def decode(self) -> AnyArchitecture:
        """Return the best architecture so far; the present one if none was scored yet."""
        best = self.best()
        return self.present if best is None else best.value

    def report(self) -> Report:
        """Tell the best score, and how the others spread."""
        trials = self.study.trials
        num_scored = sum(trial.scores is not None for trial in trials)
        failures = [trial.failure for trial in trials if trial.failure is not None]
        if failures and len(failures) == len(trials):
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
        if num_scored < 2:
            few = "Only one" if num_scored else "None"
            doubt = (
                f"{few} of the architectures that were drawn has a score: nothing was "
                "chosen. Give the search more time, or fewer steps to what comes before a score."
                f"{failed}"
            )
            return Report(text=_reasons_to_doubt(doubt), doubts=(doubt,))
        best = self.best()
        assert best is not None
        name = f"{self.estimator.score_name}{self.estimator.scored_on}"
        text = (
            f"{num_scored} architectures {self.how} {self.estimator.words}: {name} "
            f"{_spread(trials, best)}.{failed}\n"
            f"{self.choice}Whether that ranks them as a full training does, only retraining tells."
        )
        num_random = self.study.sampler.num_random
        if num_random is None or num_scored > num_random:
            return Report(text=text, doubts=())
        doubt = (
            f"All {num_scored} architectures were drawn at random, as the first {num_random} of "
            "this strategy are: the search has not begun. Give it more samples or time, or a "
            "smaller --population-size."
        )
        return Report(text=f"{text}\n{_reasons_to_doubt(doubt)}", doubts=(doubt,))

    def close(self) -> None:
        """Close the study."""
        self.study.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the study's bookmark, what is tried now, and the estimator's state."""
        return {
            "present": self.present.to_dict(),
            "bookmark": self.study.bookmark,
            "num_scored": self._num_scored,
            "estimator": self.estimator.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self.study.go_back(state["bookmark"])
        self._num_scored = state["num_scored"]
        self._present = architecture_from_dict(state["present"])
        self.estimator.load_state_dict(state["estimator"], self._present)


def written(score: float) -> str:
    """Write a score for people."""
    return f"{score:.4f}" if not abs(score) >= 10_000 else f"{score:,.0f}"


def _spread(trials: Sequence[Trial[AnyArchitecture]], best: Trial[AnyArchitecture]) -> str:
    """Write how the scores spread of those that were trained for as long as the best, and its."""
    num_steps, score = best.merit
    merits = sorted((trial.merit for trial in trials), reverse=True)
    scores = [score for trained, score in merits if trained == num_steps]
    compared = f"after {num_steps:,} steps of {len(scores)} of them " if num_steps else ""
    if len(scores) == 1:
        return f"{compared}{written(score)} (sample {best.number + 1})"
    if score < scores[0]:
        return (
            f"{compared}{written(fmean(scores))} +- {written(stdev(scores))}, highest "
            f"{written(scores[0])}; kept is one of {written(score)} (sample {best.number + 1}), "
            f"number {scores.index(score) + 1} by score"
        )
    return (
        f"{compared}{written(fmean(scores))} +- {written(stdev(scores))}, best {written(score)} "
        f"(sample {best.number + 1}), {written(scores[0] - scores[1])} ahead of the next"
    )


def _written(course: Course | None) -> str:
    """Say how far a sample was trained, to follow its score."""
    if course is None:
        return ""
    return f" after {course.num_steps:,} steps{' (pruned)' if course.is_pruned else ''}"


def _logged(course: Course | None) -> dict[str, object]:
    """Return what metrics.jsonl keeps of how a sample's training went."""
    if course is None:
        return {}
    return {
        "trained_steps": course.num_steps,
        "is_pruned": course.is_pruned,
        "bracket": course.bracket,
        "rungs": {str(rung): score for rung, score in course.scores.items()},
    }


def _reasons_to_doubt(doubt: str) -> str:
    return f"Reason to doubt that the search decided this:\n- {doubt}"
