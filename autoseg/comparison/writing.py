"""A comparison as files: tables, figures, the record and the report."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autoseg.atomic import atomic_write
from autoseg.comparison.documents import (
    Comparison,
    comparison_latex,
    comparison_markdown,
    comparison_page,
)
from autoseg.comparison.rows import CSV_COLUMNS
from autoseg.reporting.figure import save_figure
from autoseg.reporting.pareto import draw_pareto
from autoseg.reporting.tables import to_csv
from autoseg.runs.json_values import to_json


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write tables, figures, records and the report; the first group's are called "compare".

    Files that an earlier comparison left for groups that are no more are deleted.

    Returns:
        The files written; the last one is the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("compare*"):
        if re.fullmatch(r"compare(-\d+)?\.(csv|png|svg)", old.name):
            old.unlink()
    written: list[Path] = []
    pictures: list[str | None] = []
    for number, group in enumerate(comparison.groups, start=1):
        name = "compare" if number == 1 else f"compare-{number}"
        written.append(_write(folder / f"{name}.csv", to_csv(group.records, CSV_COLUMNS)))
        if any(record["miou"] is not None for record in group.records):
            paths = save_figure(draw_pareto(group.records, title=str(group.key)), folder / name)
            written += paths
            pictures.append(paths[1].read_text(encoding="utf-8"))
        else:
            pictures.append(None)
    written.append(_write(folder / "compare.md", comparison_markdown(comparison)))
    written.append(_write(folder / "compare.tex", comparison_latex(comparison)))
    content = json.dumps(comparison_record(comparison), indent=2, ensure_ascii=False)
    written.append(_write(folder / "compare.json", content + "\n"))
    written.append(_write(folder / "report.html", comparison_page(comparison, pictures)))
    return written


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was measured as values that JSON can hold."""
    record = {
        "format": "autoseg-comparison",
        "format_version": 1,
        "protocol": comparison.protocol,
        "left_out": comparison.left_out,
        "groups": [
            {"group": str(group.key), "networks": [asdict(network) for network in group.networks]}
            for group in comparison.groups
        ],
    }
    converted = to_json(record, where="comparison")
    assert isinstance(converted, dict)
    return converted


def _write(path: Path, text: str) -> Path:
    atomic_write(path, text.encode())
    return path
