"""Table, record and picture: how far scorers agree with retraining."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from earlier_calls import calls_so_far

from autoseg.architecture import SearchSpace
from autoseg.atomic import atomic_write
from autoseg.config import DataConfig
from autoseg.errors import UsageError
from autoseg.foreign_text import printable
from autoseg.reporting.figure import save_figure
from autoseg.reporting.tables import Column, to_csv, to_markdown
from autoseg.runs.json_values import to_json

from .agreement import Agreement, Spread, agreements, spread, true_scores
from .candidates import NUM_STRATA
from .exact import share_with_state0, trainings_of_an_operation
from .figure import draw_ranking
from .rows import Score

COLUMNS = (
    Column(key="scorer", heading="Scorer"),
    Column(key="seed", heading="Seed", kind="exact"),
    Column(key="num", heading="Architectures", kind="exact"),
    Column(key="tau", heading="Kendall's tau", kind="number"),
    Column(key="low", heading="from", kind="number"),
    Column(key="high", heading="to", kind="number"),
    Column(key="tau_within", heading="within quarters", kind="number"),
    Column(key="mean_of_best", heading="mIoU of its best quarter", kind="percent"),
    *(
        Column(key=f"mean_{stratum}", heading=f"mean, quarter {stratum + 1}", kind="number")
        for stratum in range(NUM_STRATA)
    ),
    Column(key="seconds", heading="Time", kind="number", unit="s"),
)
_CSV_ONLY = tuple(
    Column(key=f"tau_{stratum}", heading=f"tau, quarter {stratum + 1}", kind="number")
    for stratum in range(NUM_STRATA)
)
_RECORD = "ranking.json"
NUM_STEPS = 1024
"""Steps for which it is counted how often an operation is trained."""


def require_same_images(folder: Path, dataset: str) -> None:
    """Refuse to add to a table of other images.

    Raises:
        UsageError: If the folder's record is of another dataset.
    """
    path = folder / _RECORD
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8")).get("dataset", DataConfig().dataset)
        if earlier != dataset:
            raise UsageError(
                f"{printable(f'{path} is of --dataset {earlier}, and this call of {dataset}')}; "
                "give another --out."
            )


def write_report(
    folder: Path,
    scores: Sequence[Score],
    *,
    space: SearchSpace,
    dataset: str,
    truth: str,
    command: Sequence[str],
) -> str:
    """Write what the scores so far say.

    Args:
        folder: For ranking.csv, ranking.md and ranking.json.
        scores: All scores so far.
        space: What the architectures are of.
        dataset: Name of the images that trained and scored.
        truth: The scorer that is believed.
        command: The command line of this call; those of earlier calls stay in the record.

    Returns:
        The table as Markdown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    compared = agreements(scores, truth)
    records = [_flat(row) for row in compared]
    calls = calls_so_far(folder / _RECORD, command)
    truths_spread = spread(scores, truth)
    record = {
        "dataset": dataset,
        "truth": truth,
        "spread": None if truths_spread is None else asdict(truths_spread),
        "exact": {
            "num_paths": space.num_paths(),
            "share_with_state0": share_with_state0(space),
            "num_steps": NUM_STEPS,
            "trainings_of_an_operation": trainings_of_an_operation(space, NUM_STEPS),
        },
        "calls": calls,
        "rows": [asdict(row) for row in compared],
    }
    text = markdown(
        records,
        truth=truth,
        means=_means(scores, truth),
        truths_spread=truths_spread,
        exact=record["exact"],
        calls=calls,
    )
    atomic_write(folder / "ranking.csv", to_csv(records, [*COLUMNS, *_CSV_ONLY]).encode())
    atomic_write(folder / "ranking.md", text.encode())
    atomic_write(folder / _RECORD, json.dumps(to_json(record, where=_RECORD), indent=2).encode())
    return text


def write_figure(folder: Path, scores: Sequence[Score], *, truth: str) -> None:
    """Draw ranking.png and ranking.svg, if there is anything to compare."""
    compared = agreements(scores, truth)
    if compared:
        save_figure(draw_ranking(scores, compared, truth=truth), folder / "ranking")


def markdown(
    records: Sequence[dict[str, Any]],
    *,
    truth: str,
    means: str,
    truths_spread: Spread | None,
    exact: Mapping[str, Any],
    calls: Sequence[dict[str, Any]],
) -> str:
    """Lay the table out, with what it means and where it comes from."""
    noise = (
        ""
        if truths_spread is None
        else f"{truth}: mIoU {truths_spread.mean:.1%} on average over {truths_spread.num} "
        f"architectures; standard deviation {truths_spread.architectures:.1%} between "
        f"architectures, {truths_spread.seeds:.1%} between seeds of one.\n\n"
    )
    trainings = ", ".join(f"{count:.0f}" for count in exact["trainings_of_an_operation"])
    counts = (
        f"Counted over all {exact['num_paths']:,} paths: in {exact['share_with_state0']:.0%} of "
        "their layers a path of the paper's supernet has a state 0; of "
        f"{exact['num_steps']:,} steps of uniform sampling {trainings} train an operation of a "
        "path in each quarter.\n\n"
    )
    commands = "\n".join(f"    {call['command']}  # {_machine(call)}" for call in calls)
    return (
        f"{to_markdown(records, COLUMNS)}\n\n"
        f"Kendall's tau-b against the mean of {truth} over its seeds, with a 95 % interval by "
        f"bootstrap over architectures; {truth} itself against its other seeds, which is the "
        "ceiling of the others. Within quarters: over pairs of architectures from one quarter of "
        "all paths by mean stride (1 is the finest). Best quarter: the architectures that the "
        f"scorer ranks highest, by {truth}. Mean: of the score in each quarter. Time: of "
        "all scores of the row, on one core shared with other work; a supernet's training is in "
        "the first row that it scores, and finetuned takes that of shared.\n\n"
        f"{means}"
        f"{noise}"
        f"{counts}"
        f"Commands, in the order of the rows' first calls:\n\n{commands}\n\n"
        "Commits in scores.csv.\n"
    )


def _means(scores: Sequence[Score], truth: str) -> str:
    """Say what the truth is on average, of all and of each quarter of the paths."""
    true = true_scores(scores, truth)
    strata = {score.number: score.stratum for score in scores}
    if not true:
        return ""
    quarters = [
        [true[number] for number in true if strata[number] == stratum]
        for stratum in range(NUM_STRATA)
    ]
    by_quarter = ", ".join(f"{fmean(each):.1%}" if each else "none" for each in quarters)
    return (
        f"{truth}: mIoU {min(true.values()):.1%} to {max(true.values()):.1%}, "
        f"{fmean(true.values()):.1%} on average; by quarter {by_quarter}.\n\n"
    )


def _machine(call: dict[str, Any]) -> str:
    hardware = call["hardware"]
    return (
        f"torch {call['versions']['torch']}, {hardware['cpu']}, {hardware['num_threads']} thread(s)"
    )


def _flat(row: Agreement) -> dict[str, Any]:
    """Spread the strata over columns."""
    return {
        **asdict(row),
        **{f"mean_{stratum}": mean for stratum, mean in enumerate(row.stratum_means)},
        **{f"tau_{stratum}": tau for stratum, tau in enumerate(row.stratum_taus)},
    }
