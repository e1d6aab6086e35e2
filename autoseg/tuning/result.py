"""What a tuning was of, what it found, and the record that it leaves."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from autoseg.runs import describe_environment
from autoseg.runs.json_values import to_json
from autoseg.tuning.record import TUNING_FORMAT, TUNING_FORMAT_VERSION, TUNING_NAME
from autoseg.tuning.study import RANGES, CRFTrial

_STUDY_VERSION = 1  # counts changes of ranges or score, after which old trials do not compare


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningSubject:
    """What trials must agree on to be compared."""

    dataset: str
    """Name of the dataset."""
    split: str
    """Split whose images decide."""
    indices: tuple[int, ...]
    """The images."""
    weights: str
    """Whether the best or the last weights are behind the logits."""
    weights_sha256: str
    """Checksum of those weights."""
    mode: str
    """Mode of the CRF."""
    seed: int
    """Seed of the sampled parameters."""

    @property
    def study_name(self) -> str:
        """Name of the study that holds the trials: another one for another subject."""
        text = json.dumps({**self.record(), "version": _STUDY_VERSION}, sort_keys=True)
        return "crf-" + hashlib.sha256(text.encode()).hexdigest()[:12]

    def record(self) -> dict[str, Any]:
        """Return the fields as a record states them."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "num_images": len(self.indices),
            "indices": list(self.indices),
            "weights": self.weights,
            "weights_sha256": self.weights_sha256,
            "mode": self.mode,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningResult:
    """What a tuning found, finished or stopped."""

    subject: TuningSubject
    """What it was of."""
    mean_iou_without: float
    """Score of the network without a CRF."""
    trials: tuple[CRFTrial, ...]
    """Parameters and their scores, at least one, oldest first."""
    num_trials_asked: int
    """Trials that were asked for."""

    @property
    def best(self) -> CRFTrial:
        """The best trial; the earliest of equally good ones."""
        return max(self.trials, key=lambda trial: trial.mean_iou)

    @property
    def mean_iou_change(self) -> float:
        """Gain of the best trial over the network without a CRF; negative where it loses."""
        return self.best.mean_iou - self.mean_iou_without

    @property
    def is_finished(self) -> bool:
        """False if it was asked to stop; the same command goes on."""
        return len(self.trials) >= self.num_trials_asked

    @property
    def effect(self) -> str:
        """What the best trial does to the score, in a word or two."""
        change = self.mean_iou_change
        return "helps" if change > 0 else "hurts" if change < 0 else "changes nothing"

    @property
    def verdict(self) -> str:
        """What the best trial does to the score, in a sentence."""
        change = self.mean_iou_change
        verdict = (
            f"the best CRF {self.effect}: mIoU {self.best.mean_iou:.4f} ({change:+z.4f}) on "
            f"{self.subject.split}"
        )
        return verdict if change > 0 else f"{verdict}; nothing beats no CRF, so leave it out"

    def rows(self) -> list[tuple[str, float, float]]:
        """List name, score and change of no CRF, the stock parameters and the best trial."""
        rows = [("no CRF", self.mean_iou_without, 0.0)]
        rows += [
            (trial.name, trial.mean_iou, trial.mean_iou - self.mean_iou_without)
            for trial in self.trials
            if trial.name
        ]
        return [*rows, ("best of all trials", self.best.mean_iou, self.mean_iou_change)]

    def record(self, command: Sequence[str]) -> dict[str, Any]:
        """Return what crf.json keeps of it.

        Args:
            command: The command line.
        """
        record = {
            "format": TUNING_FORMAT,
            "format_version": TUNING_FORMAT_VERSION,
            "parameters": asdict(self.best.parameters),
            "use_crf": self.mean_iou_change > 0,
            "mean_iou": self.best.mean_iou,
            "mean_iou_without": self.mean_iou_without,
            "mean_iou_change": self.mean_iou_change,
            "effect": self.effect,
            "verdict": self.verdict,
            **self.subject.record(),
            "num_trials": len(self.trials),
            "num_trials_asked": self.num_trials_asked,
            "finished": self.is_finished,
            "ranges": {name: [each.low, each.high] for name, each in RANGES.items()},
            "stock": [
                self._trial_record(trial) | {"name": trial.name}
                for trial in self.trials
                if trial.name
            ],
            "trials": [self._trial_record(trial) for trial in self.trials],
            "command": shlex.join(command),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            **describe_environment(),
        }
        converted = to_json(record, where=TUNING_NAME)
        assert isinstance(converted, dict)
        return converted

    def _trial_record(self, trial: CRFTrial) -> dict[str, Any]:
        return {
            "parameters": asdict(trial.parameters),
            "mean_iou": trial.mean_iou,
            "mean_iou_change": trial.mean_iou - self.mean_iou_without,
        }
