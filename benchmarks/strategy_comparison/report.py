"""Table, record and picture of the strategies that were compared."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from earlier_calls import calls_so_far
from matplotlib.figure import Figure

from autoseg.atomic import atomic_write
from autoseg.errors import UsageError
from autoseg.reporting.figure import BLACK, BLUE, new_figure, save_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.tables import Column, to_markdown
from autoseg.runs.json_values import to_json

from .contestants import DRAWN, RANDOM, find_contestant
from .differences import summarise
from .images import PRESET
from .rows import Row
from .trial import Setting

COLUMNS = (
    Column(key="contestant", heading="Contestant"),
    Column(key="num", heading="Seeds", kind="exact"),
    Column(key="miou", heading="mIoU", kind="percent"),
    Column(key="deviation", heading="deviation", kind="percent"),
    Column(key="gain", heading="gain", kind="change"),
    Column(key="standard_errors", heading="in standard errors", kind="number"),
    Column(key="p_value", heading="p", kind="number"),
    Column(key="adjusted_p", heading="p (Holm)", kind="number"),
    Column(key="macs", heading="MACs", kind="scaled"),
    Column(key="parameters", heading="Parameters", kind="scaled"),
    Column(key="search_steps", heading="Search steps", kind="number"),
    Column(key="search_processor_s", heading="Search", kind="number", unit="s"),
)
GAINS = tuple(
    column
    for column in COLUMNS
    if column.key
    in {"contestant", "num", "miou", "gain", "standard_errors", "p_value", "adjusted_p"}
)
_NAME = "comparison"


def write_report(
    folder: Path, rows: Sequence[Row], *, setting: Setting, command: Sequence[str]
) -> str:
    """Write what is known so far.

    Args:
        folder: For comparison.md and comparison.json.
        rows: All rows so far.
        setting: What they share.
        command: The command line of this call; those of earlier calls stay in the record.

    Returns:
        The table as Markdown.

    Raises:
        UsageError: If the folder's rows are of another setting.
    """
    record_path = folder / f"{_NAME}.json"
    shared = setting.shared
    _require_same(record_path, shared)
    folder.mkdir(parents=True, exist_ok=True)
    calls = calls_so_far(record_path, command)
    summaries = summarise(rows)
    record = {
        **shared,
        "contestants": {each.contestant: _describe(each.contestant, setting) for each in summaries},
        "rows": [asdict(each) for each in summaries],
        "calls": calls,
    }
    text = markdown(rows, setting=setting, calls=calls)
    atomic_write(folder / f"{_NAME}.md", text.encode())
    atomic_write(record_path, json.dumps(to_json(record, where=_NAME), indent=2).encode())
    return text


def _require_same(record: Path, shared: dict[str, Any]) -> None:
    """Refuse to add to rows that were made on other images, or at another cost."""
    if not record.exists():
        return
    earlier = json.loads(record.read_text(encoding="utf-8"))
    for name, value in shared.items():
        if (was := earlier.get(name, value)) != value:  # older records do not name the dataset
            raise UsageError(
                f"{record.parent}: its rows have {name} = {was}, not {value}, and cannot be "
                "compared with these; name another folder with --out."
            )


def markdown(rows: Sequence[Row], *, setting: Setting, calls: Sequence[dict[str, Any]]) -> str:
    """Lay the tables out, with what they mean and where they come from."""
    summaries, searched = summarise(rows), summarise(rows, against=RANDOM)
    machines = dict.fromkeys(
        f"torch {call['versions']['torch']}, {call['hardware']['cpu']}, "
        f"{call['hardware']['num_threads']} thread(s)"
        for call in calls
    )
    searches = "\n".join(
        f"    {each.contestant}: {_describe(each.contestant, setting)}" for each in summaries
    )
    commands = "\n".join(f"    {call['command']}" for call in calls)
    shared = ("--preset", PRESET, "--max-macs", str(setting.limit), *setting.images.options)
    return (
        f"{to_markdown([asdict(each) for each in summaries], COLUMNS)}\n\n"
        f"mIoU on {setting.images.description}, which nothing "
        f"was chosen on, from the last weights after {setting.num_steps:,} steps of the {PRESET} "
        f"preset's recipe. Every architecture costs at most {setting.limit:,} MACs, a drawn one at "
        f"least 90 % of that. Gain: over the mean of {DRAWN}, architectures that were drawn at "
        "random and not searched; in standard errors of the difference (Welch); p is two-sided, by "
        "permutation, beside it adjusted for all comparisons of the table (Holm). Deviation: "
        "between seeds, each of which has a search, an architecture and a retraining of its own. "
        "Search: processor time, all threads together.\n\n"
        f"{to_markdown([asdict(each) for each in searched], GAINS)}\n\n"
        f"The same scores, with the gain over {RANDOM}, a search at the same cost that learns "
        "nothing from its scores.\n\n"
        f"Contestants; searches have `{' '.join(shared)}` beside:\n\n"
        f"{searches}\n\n"
        f"Commands, in the order of their last calls:\n\n{commands}\n\n"
        f"{'; '.join(machines)}; commits in rows.csv.\n"
    )


def _describe(contestant: str, setting: Setting) -> str:
    return find_contestant(contestant).description(setting.images.epoch_steps)


def write_figure(folder: Path, rows: Sequence[Row]) -> None:
    """Draw comparison.png and comparison.svg."""
    save_figure(draw_comparison(rows), folder / _NAME)


def draw_comparison(rows: Sequence[Row]) -> Figure:
    """Draw each seed's mIoU as a point, and each contestant's mean with two standard errors.

    Args:
        rows: All rows; contestants from the top by their means.
    """
    summaries = summarise(rows)
    figure = new_figure(6.4, 1.2 + 0.42 * len(summaries))
    axes = figure.add_subplot()
    for place, each in enumerate(summaries):
        scores = [100 * row.miou for row in rows if row.contestant == each.contestant]
        axes.scatter(scores, [place] * len(scores), s=18, color=BLUE, alpha=0.6, linewidths=0)
        error = 200 * each.deviation / each.num**0.5 if each.num > 1 else 0.0
        axes.errorbar(100 * each.miou, place, xerr=error, fmt="|", color=BLACK, capsize=3)
        if each.contestant == DRAWN:
            axes.axvline(100 * each.miou, color=BLACK, linewidth=0.6, linestyle=":")
    labels = [f"{each.contestant} ({each.macs / 1e6:.0f}M MACs)" for each in summaries]
    axes.set_yticks(range(len(labels)), [figure_text(label) for label in labels])
    axes.invert_yaxis()
    # In two lines: long names leave the axes little width.
    axes.set_xlabel(
        figure_text(f"test mIoU (%): each seed; mean and\n2 standard errors; dotted: {DRAWN}")
    )
    return figure
