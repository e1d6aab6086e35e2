"""Trainings that differ by their seed alone as one row: mean, deviation and number."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any, TypeVar

import numpy as np

from autoseg.comparison.rows import DOUBTFUL, BorderResult, ComparisonRow, NetworkComparison
from autoseg.metrics import mean_calibration

_T = TypeVar("_T")

_MEANS = (
    "miou",
    "miou_change",
    "mean_accuracy",
    "pixel_accuracy",
    "frequency_weighted_iou",
    "effective_field_px",
)
"""Fields of a row that become the mean over the seeds."""

_IF_ALIKE = ("num_averaged", "num_steps", "best_step", "seed", "run", "weights_sha256")
"""Fields that stay where all seeds agree; None elsewhere."""


def join_seeds(networks: Sequence[NetworkComparison]) -> list[NetworkComparison]:
    """Make one network of those whose trainings differ by their seed alone.

    Args:
        networks: What was measured. Trainings of one `training_sha256` are joined if no seed occurs
            twice among them: the same seed again is no second sample.

    Returns:
        The networks, a joined one in the place of its first.
    """
    by_training: defaultdict[Any, list[NetworkComparison]] = defaultdict(list)
    for number, network in enumerate(networks):
        row = network.rows[0]
        training = row.training_sha256 or number, row.weights
        setting = row.form, row.views, len(network.rows)
        by_training[*training, *setting].append(network)
    joined = []
    for members in by_training.values():
        seeds = [member.rows[0].seed for member in members]
        is_one = len(members) > 1 and None not in seeds and len(set(seeds)) == len(seeds)
        joined += [_joined(members)] if is_one else members
    return joined


def _joined(networks: Sequence[NetworkComparison]) -> NetworkComparison:
    members = sorted(networks, key=lambda network: network.rows[0].seed or 0)
    # One of the trainings is shown in pictures: the one in the middle of the scores.
    shown = middle(members, lambda network: network.rows[0].miou or 0.0)
    timed = middle(
        [m for m in members if all(row.is_total_latency_settled for row in m.rows)] or members,
        lambda network: network.rows[-1].total_latency_median_ms,
    )
    borders = zip(*(member.borders for member in members), strict=True)
    return NetworkComparison(
        rows=tuple(
            _joined_row([member.rows[number] for member in members], timed.rows[number])
            for number in range(len(timed.rows))
        ),
        class_names=shown.class_names,
        class_iou=tuple(
            _means_of_classes(each)
            for each in zip(*(member.class_iou for member in members), strict=True)
        ),
        notes=(
            *_notes(members),
            f"mean of the trainings with seeds {_listed(members)}; times are those of seed "
            f"{_timed_seed(timed.rows[0])}, and pictures and confusions of seed "
            f"{shown.rows[0].seed}, which lie in the middle.",
        ),
        borders=tuple(
            tuple(_mean_border(results) for results in zip(*scores, strict=True))
            for scores in borders
        ),
        calibration=tuple(
            mean_calibration(each)
            for each in zip(*(member.calibration for member in members), strict=True)
        ),
        confusions=shown.confusions,
        evidence=shown.evidence,
        scenes=shown.scenes,
        graded_scenes=shown.graded_scenes,
        receptive_field=shown.receptive_field,
        search=shown.search,
        is_earlier=all(member.is_earlier for member in members),
        members=tuple(members),
    )


def middle(items: Sequence[_T], value: Callable[[_T], float]) -> _T:
    """Return the item in the middle by a value; of two the lower."""
    return sorted(items, key=value)[(len(items) - 1) // 2]


def _timed_seed(row: ComparisonRow) -> int | None:
    return row.seed if row.timed_seed is None else row.timed_seed


def _joined_row(rows: Sequence[ComparisonRow], timed: ComparisonRow) -> ComparisonRow:
    means = {name: _mean([getattr(row, name) for row in rows]) for name in _MEANS}
    alike = {name: _if_alike([getattr(row, name) for row in rows]) for name in _IF_ALIKE}
    scores = tuple(row.miou for row in rows if row.miou is not None)
    crfs = [row.crf for row in rows if row.crf is not None]
    return replace(
        timed,
        **means,
        **alike,
        measured_elsewhere=False,
        num_seeds=len(rows),
        miou_deviation=stdev(scores) if len(scores) > 1 else None,
        seeds=tuple(row.seed for row in rows if row.seed is not None),
        seed_mious=scores,
        crf="; ".join(dict.fromkeys(crfs)) or None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return mean(present) if present else None


def _if_alike(values: Sequence[_T]) -> _T | None:
    return values[0] if all(value == values[0] for value in values) else None


def _means_of_classes(ious: Sequence[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    """Average each class's IoU over the seeds in which it occurs."""
    present = [iou for iou in ious if iou is not None]
    return tuple(_mean_of_defined(values) for values in zip(*present, strict=True)) or None


def _mean_border(results: Sequence[BorderResult]) -> BorderResult:
    return replace(
        results[0],
        mean=_mean([result.mean for result in results]),
        by_class=tuple(
            _mean_of_defined(values)
            for values in zip(*(result.by_class for result in results), strict=True)
        ),
    )


def _mean_of_defined(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return mean(defined) if defined else float("nan")


def _notes(members: Sequence[NetworkComparison]) -> list[str]:
    """Return what holds for all once, the rest under its seed; doubt of most is doubt of all."""
    by_note: defaultdict[str, list[int | None]] = defaultdict(list)
    for member in members:
        for note in member.notes:
            by_note[note].append(member.rows[0].seed)
    doubted = {note: seeds for note, seeds in by_note.items() if note.startswith(DOUBTFUL)}
    notes = []
    if 2 * sum(len(seeds) for seeds in doubted.values()) > len(members):
        notes.append(DOUBTFUL + _in_one(doubted))
    told = {} if not notes else doubted
    return notes + [
        note if len(seeds) == len(members) else _under(seeds, note)
        for note, seeds in by_note.items()
        if note not in told
    ]


def _in_one(doubted: Mapping[str, Sequence[int | None]]) -> str:
    """Put doubts into one text, with the seeds of each; advice that all end with is said once."""
    texts = [_under(seeds, note.removeprefix(DOUBTFUL)) for note, seeds in doubted.items()]
    reasons, separators, advice = zip(*(text.rpartition("; ") for text in texts), strict=True)
    if len(texts) > 1 and all(separators) and len(set(advice)) == 1:
        return f"{'; '.join(reasons)}; {advice[0]}"
    return " ".join(texts)


def _under(seeds: Sequence[int | None], note: str) -> str:
    return f"seed {' and '.join(map(str, seeds))}: {note}"


def _listed(members: Sequence[NetworkComparison]) -> str:
    return ", ".join(str(member.rows[0].seed) for member in members)
