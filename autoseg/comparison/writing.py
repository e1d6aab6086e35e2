"""A comparison as files: tables, figures, the record and the report."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from autoseg.atomic import atomic_write
from autoseg.comparison.columns import CSV_COLUMNS
from autoseg.comparison.documents import (
    Comparison,
    comparison_latex,
    comparison_markdown,
)
from autoseg.comparison.earlier import RECORD_FORMAT, RECORD_VERSION
from autoseg.comparison.pictures import draw_fields
from autoseg.comparison.report import comparison_page
from autoseg.comparison.rows import NetworkComparison
from autoseg.comparison.verdict import verdict
from autoseg.errors import FileError
from autoseg.json_file import read_json
from autoseg.reporting.figure import save_figure
from autoseg.reporting.pareto import draw_pareto
from autoseg.reporting.tables import to_csv
from autoseg.runs.json_values import to_json

_RECORD = "compare.json"
_NOT_KEPT = ("evidence", "scenes", "graded_scenes", "search", "receptive_field", "is_earlier")
"""Fields of a network that a record does not keep."""
_OF_ALL = (_RECORD, "compare.md", "compare.tex", "report.html")


def possible_outputs(folder: Path, *, num_groups: int) -> list[Path]:
    """List the files that a comparison of so many groups may write."""
    return [
        *(folder / name for name in _OF_ALL),
        *(path for number in range(1, num_groups + 1) for path in _group_files(folder, number)),
    ]


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write tables, figures, records and the report; the first group's are called "compare".

    What the folder's earlier comparison left of groups that are no more is deleted.

    Returns:
        The files written; the last one is the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, _num_groups_before(folder) + 1):
        for old in _group_files(folder, number):
            old.unlink(missing_ok=True)
    written: list[Path] = []
    for number, group in enumerate(comparison.groups, start=1):
        table, picture, _, fields, _ = _group_files(folder, number)
        written.append(_write(table, to_csv(group.records, CSV_COLUMNS)))
        if any(record["miou"] is not None for record in group.records):
            figure = draw_pareto(group.records, title=group.heading)
            written += save_figure(figure, picture.with_suffix(""))
        drawn = draw_fields(group)
        if drawn is not None:
            written += save_figure(drawn, fields.with_suffix(""))
    written.append(_write(folder / "compare.md", comparison_markdown(comparison)))
    written.append(_write(folder / "compare.tex", comparison_latex(comparison)))
    content = json.dumps(comparison_record(comparison), indent=2, ensure_ascii=False)
    written.append(_write(folder / _RECORD, content + "\n"))
    written.append(_write(folder / "report.html", comparison_page(comparison)))
    return written


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was measured as values that JSON can hold."""
    record = {
        "format": RECORD_FORMAT,
        "format_version": RECORD_VERSION,
        "protocol": comparison.protocol,
        "environment": comparison.environment,
        "left_out": comparison.left_out,
        "groups": [
            {
                "group": group.heading,
                "verdict": verdict(group),
                "networks": [_network_record(network) for network in group.networks],
            }
            for group in comparison.groups
        ],
    }
    converted = to_json(record, where="comparison")
    assert isinstance(converted, dict)
    return converted


def _network_record(network: NetworkComparison) -> dict[str, Any]:
    """Return a network's numbers, without the pictures and counts of single images."""
    bare = replace(
        network, evidence=(), scenes=(), graded_scenes=(), search=None, receptive_field=None
    )
    return asdict(bare, dict_factory=_without_the_rest)


def _without_the_rest(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in items if key not in _NOT_KEPT}


def _group_files(folder: Path, number: int) -> list[Path]:
    """Name the table of a group, its two pictures, and the two of its receptive fields."""
    name = "compare" if number == 1 else f"compare-{number}"
    ends = (".csv", ".png", ".svg", "-fields.png", "-fields.svg")
    return [folder / f"{name}{end}" for end in ends]


def _num_groups_before(folder: Path) -> int:
    """Count the groups of the comparison that the folder holds; 0 if it holds none of ours."""
    try:
        record = read_json(folder / _RECORD, "a comparison")
    except (FileError, FileNotFoundError):
        return 0
    if not isinstance(record, dict) or record.get("format") != RECORD_FORMAT:
        return 0
    groups = record.get("groups")
    return len(groups) if isinstance(groups, list) else 0


def _write(path: Path, text: str) -> Path:
    atomic_write(path, text.encode())
    return path
