"""What follows from a comparison's numbers, in words, and what does not."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.comparison.gains import MIN_IMAGES, Gain, crf_gains, gain_between, view_gains
from autoseg.comparison.rows import DOUBTFUL, ComparisonGroup, ComparisonRow
from autoseg.reporting.pareto import pareto_front
from autoseg.reporting.tables import scaled, significant
from autoseg.trained import DRAWN, SEARCHED

_IMAGES = "images"
_MAX_NAMED = 6  # rows that a sentence lists; of more it tells how many
_PLAIN = ("eager", "float32", "contiguous", False)
"""The form of a row that plain torch ran as it is."""


class _Scored(NamedTuple):
    """A row that has a score, and what stands behind it."""

    row: ComparisonRow
    overlaps: list[NDArray[np.int64]]
    """The `overlaps` of each image, for each training; empty where they were not kept."""


def row_name(row: ComparisonRow) -> str:
    """Name a row of a network that may have two."""
    return f"{row.label} + CRF" if row.has_crf else row.label


def doubts_of(group: ComparisonGroup) -> dict[str, str]:
    """Return why a network's score is no achievement, by label; others are left out."""
    return {
        network.rows[0].label: note
        for network in group.networks
        for note in network.notes
        if note.startswith(DOUBTFUL)
    }


def verdict(group: ComparisonGroup) -> list[str]:
    """Say which network suits which budget, what cannot be told apart, and what counts for nothing.

    Args:
        group: Networks that may be compared.

    Returns:
        Sentences; none if nothing was scored.
    """
    doubts = doubts_of(group)
    scored = [scored for scored in _scored(group) if scored.row.label not in doubts]
    return [
        *(["No network here has a score that says anything."] if doubts and not scored else []),
        *_best(scored),
        *_budgets(scored),
        *_changed("The CRF changes", crf_gains(group), doubts),
        *_changed("Several views change", view_gains(group), doubts),
        *_searches(
            [e.row for e in _once_each(scored) if not e.row.has_crf and e.row.views is None]
        ),
        *(f"{label}: {note}" for label, note in doubts.items()),
        *_seeds(_once_each(scored)),
    ]


def _scored(group: ComparisonGroup) -> list[_Scored]:
    return [
        _Scored(row, network.image_overlaps(number))
        for network in group.networks
        for number, row in enumerate(network.rows)
        if row.miou is not None
    ]


def _once_each(scored: Sequence[_Scored]) -> list[_Scored]:
    """Leave each network one form: plain torch where it has that, else the first.

    In another form it is the same network, with the same MACs, the same seeds and search.
    """
    seen = {_network(each.row) for each in scored if each.row.form == _PLAIN}
    chosen = []
    for each in scored:
        if each.row.form == _PLAIN:
            chosen.append(each)
        elif (network := _network(each.row)) not in seen:
            seen.add(network)
            chosen.append(each)
    return chosen


def _network(row: ComparisonRow) -> tuple[object, ...]:
    """Return what rows of one training share, in whichever form."""
    return (
        *(row.network, row.width, row.filter_multiplier, row.has_crf, row.views),
        *(row.training_sha256, row.seed, row.run, row.weights_sha256),
    )


def _best(scored: Sequence[_Scored]) -> list[str]:
    """Name the most accurate row, and those that the images cannot tell from it."""
    if not scored:
        return []
    best = max(scored, key=lambda each: each.row.miou or 0.0)
    sentences = [
        f"Most accurate: {row_name(best.row)}, mIoU {_percent(best.row)} at "
        f"{_milliseconds(best.row.total_latency_median_ms)}{_where(best.row)} and "
        f"{scaled(best.row.macs)} MACs."
    ]
    others = [each for each in scored if each is not best]
    gains = [(each, _gain(each, best)) for each in others]
    compared = [(each, gain) for each, gain in gains if gain is not None]
    num_images = best.row.num_images
    if others and not compared:
        sentences.append(
            "Whether its lead is more than chance cannot be said: that takes at least "
            f"{MIN_IMAGES} images that all networks were scored on, and there are {num_images}."
        )
    if compared:
        alike = [row_name(each.row) for each, (low, _) in compared if low <= 0]
        chance = _chance(best, *(each for each, _ in compared))
        ahead = f"its lead over {'each' if len(compared) > 1 else 'the other row'}"
        if alike:
            sentences.append(f"Not distinguishable from it on these {chance}: {', '.join(alike)}.")
            ahead = "its lead over the rest" if len(alike) < len(compared) else ""
        basis = f"95 % interval over {num_images} images drawn anew, taken as independent"
        if chance != _IMAGES:
            basis += ", and over the seeds of the trainings"
        if ahead:
            sentences.append(
                f"{ahead.capitalize()} is more than the choice of {chance} explains ({basis})."
            )
        else:
            sentences[-1] = f"{sentences[-1].removesuffix('.')} ({basis})."
        unknown = [row_name(each.row) for each, gain in gains if gain is None]
        if unknown:
            sentences.append(
                f"That says nothing of {', '.join(unknown)}, whose single images are not known."
            )
    return sentences


def _chance(*scored: _Scored) -> str:
    """Name what a score might have been otherwise for: the images, and where known the seeds."""
    return f"{_IMAGES} and seeds" if any(len(each.overlaps) > 1 for each in scored) else _IMAGES


def _gain(before: _Scored, after: _Scored) -> tuple[float, float] | None:
    """Bound what the second gains over the first; None if the images do not allow it."""
    is_paired = before.row.label == after.row.label  # the CRF refines the same trainings
    return gain_between(before.overlaps, after.overlaps, is_paired=is_paired)


def _budgets(scored: Sequence[_Scored]) -> list[str]:
    """Say for each budget which row is the most accurate within it."""
    if len(scored) < 2:
        return []
    timed = [each for each in scored if each.row.is_timed_here]
    alone = [each for each in _once_each(scored) if not each.row.has_crf]
    sentences = [
        *_budget("latency", timed, lambda row: row.total_latency_median_ms, _milliseconds),
        *_budget("MACs", alone, lambda row: row.macs, scaled),
    ]
    elsewhere = [row_name(each.row) for each in scored if each.row.measured_elsewhere]
    if elsewhere:
        sentences.append(
            f"Not ranked by latency, for another machine measured them: {', '.join(elsewhere)}."
        )
    unsettled = [
        row_name(each.row)
        for each in scored
        if not each.row.is_total_latency_settled and not each.row.measured_elsewhere
    ]
    if unsettled:
        sentences.append(
            "Not ranked by latency, for the times had not settled or the machine's speed changed: "
            + (
                f"{', '.join(unsettled)}."
                if len(unsettled) <= _MAX_NAMED
                else f"{len(unsettled)} of {len(scored)} rows, which the table calls unsettled."
            )
        )
    return sentences


def _budget(
    name: str,
    scored: Sequence[_Scored],
    cost: Callable[[ComparisonRow], float],
    write: Callable[[float], str],
) -> list[str]:
    costs = [cost(each.row) for each in scored]
    front = [scored[i] for i in pareto_front(costs, [each.row.miou or 0.0 for each in scored])]
    if not front:
        return []
    steps, before = [], None
    for each in front:
        gain = None if before is None else _gain(before, each)
        remark = ""
        if before is not None and gain is not None and gain[0] <= 0:
            chance = _chance(before, each)
            remark = f", which these {chance} cannot tell from the one before"
        steps.append(
            f"from {write(cost(each.row))} on {row_name(each.row)} ({_percent(each.row)}{remark})"
        )
        before = each
    return [f"By {name}: {'; '.join(steps)}."]


def _changed(what: str, gains: Sequence[Gain], doubts: Collection[str]) -> list[str]:
    """Say what a setting gains, what that costs, and where the gain is more than chance."""
    gains = [gain for gain in gains if gain.label not in doubts]
    if not gains:
        return []
    least, most = (choose(gains, key=lambda gain: gain.miou) for choose in (min, max))
    sentence = f"{what} the mIoU by {_points(most.miou)} ({most.label}"
    sentence += f") to {_points(least.miou)} ({least.label})" if least is not most else ")"
    rates = [gain.points_per_ms for gain in gains if gain.points_per_ms and gain.is_settled]
    if rates:
        low, high = significant(min(rates), 2), significant(max(rates), 2)
        sentence += f"; a millisecond more brings {low}"
        sentence += f" to {high} points" if high != low else " points"
    bounded = [gain for gain in gains if gain.low is not None and gain.high is not None]
    if bounded:
        num_up = sum((gain.low or 0) > 0 for gain in bounded)
        num_down = sum((gain.high or 0) < 0 for gain in bounded)
        sentence += (
            f". More than the choice of images explains: better for {num_up} of {len(bounded)} "
            f"networks, worse for {num_down}"
        )
    return [f"{sentence}."]


def _searches(rows: Sequence[ComparisonRow]) -> list[str]:
    """Say of each searched network whether it is better than what nobody searched."""
    searched = [row for row in rows if row.network == SEARCHED]
    all_drawn = [row for row in rows if row.network.startswith(DRAWN)]
    if searched and not all_drawn:
        return [
            "Whether the search helped, nothing here says: no architecture drawn at random was "
            "trained beside it (retrain --random 3)."
        ]
    sentences = []
    for row in searched:
        drawn = [each.miou or 0.0 for each in all_drawn if each.weights == row.weights]
        if not drawn:
            continue  # best weights and last ones do not compare
        num_below = sum(miou < (row.miou or 0.0) for miou in drawn)
        sentence = (
            f"{row.label} ({_percent(row)}) is above {num_below} of {len(drawn)} drawn at random "
            f"at its cost (mean {100 * sum(drawn) / len(drawn):.2f} %, {100 * min(drawn):.2f} to "
            f"{100 * max(drawn):.2f} %)"
        )
        if num_below == len(drawn):
            sentence += f"; one more drawn would be so in 1 of {len(drawn) + 1} comparisons"
        sentences.append(f"{sentence}.")
    return sentences


def _seeds(scored: Sequence[_Scored]) -> list[str]:
    """Say how the scores vary with the seed of the training, or that nobody knows."""
    rows = [each.row for each in scored]
    sentences = _over_seeds([row for row in rows if row.miou_deviation is not None])
    if len({row.label for row in rows}) > 1 and any(row.num_seeds == 1 for row in rows):
        sentences.append(
            "A network that was trained with one seed alone may stand elsewhere with another."
            if sentences
            else "Each network was trained with one seed; with another one it may stand elsewhere."
        )
    return sentences


def _over_seeds(rows: Sequence[ComparisonRow]) -> list[str]:
    """Say how the scores of rows with several seeds deviate: each, or of many the ends."""
    told = [f"{100 * (row.miou_deviation or 0.0):.2f}" for row in rows]
    if not rows:
        return []
    if len(rows) <= _MAX_NAMED:
        each = [
            f"{row_name(row)} {_percent(row)}, {deviation} ({row.num_seeds})"
            for row, deviation in zip(rows, told, strict=True)
        ]
        text = "Over seeds, mean mIoU, standard deviation in points and number: "
        return [f"{text}{'; '.join(each)}."]
    order = sorted(range(len(rows)), key=lambda number: rows[number].miou_deviation or 0.0)
    least, most = (
        f"{told[number]} points ({row_name(rows[number])})" for number in (order[0], order[-1])
    )
    return [
        f"Over seeds the mIoU has a standard deviation of {least} to {most}; the table has that of "
        "each row, and the number of its seeds."
    ]


def _where(row: ComparisonRow) -> str:
    images = f" for {row.batch_size} images" if row.batch_size > 1 else ""
    return images + (" on another machine" if row.measured_elsewhere else "")


def _percent(row: ComparisonRow) -> str:
    return f"{100 * (row.miou or 0.0):.2f} %"


def _points(change: float) -> str:
    return f"{100 * change:+z.2f} points"


def _milliseconds(value: float) -> str:
    return f"{significant(value)} ms"
