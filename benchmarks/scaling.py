"""Measure what steps cost by their size: `python benchmarks/scaling.py --help`.

A step of the search and one of a retraining are measured over layers, filters, crop, batch and
processes, one factor at a time, and the cost is fitted as a product of powers.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csv_rows import write_rows
from earlier_calls import calls_so_far
from scaling_laws.laws import FACTORS, Law, draw_laws, fit_law, markdown
from scaling_laws.steps import Size, StepRow, measure

from autoseg.atomic import atomic_write
from autoseg.cli import OK, read_request, run_command
from autoseg.errors import UsageError
from autoseg.reporting import save_figure
from autoseg.runs import Progress

PROG = "python benchmarks/scaling.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingRequest:
    """What a user can say to `python benchmarks/scaling.py`."""

    num_steps: int = 3
    """Counted steps of each size, after one that warms up."""
    out: Path = Path("results/scaling")
    """Folder of scaling.csv, written anew after every size, .json, .md, .png and .svg; sizes that
    are in the table are not measured again."""

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise UsageError(f"--num-steps is {self.num_steps}; it must be at least 1.")


def sizes() -> Iterator[Size]:
    """Give every size once: what all factors share, each factor's values, and several processes."""
    for work in ("search", "retraining"):
        base = Size(work=work)
        found = [base]
        for factor, values in FACTORS.items():
            found += [replace(base, **{factor: value}) for value in values]
        found += [replace(base, num_processes=2), replace(base, num_processes=2, crop=192)]
        yield from dict.fromkeys(found)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        ScalingRequest,
        arguments,
        prog=PROG,
        description="Measure the processor time of steps of search and retraining by their size.",
        example=f"{PROG} --num-steps 5",
    )
    table, record = request.out / "scaling.csv", request.out / "scaling.json"
    calls = calls_so_far(record, [*PROG.split(), *arguments])
    rows = load_rows(table)
    measured = {row.size for row in rows}
    wanted = list(sizes())
    with Progress(
        len(wanted), description="scaling", unit="size", initial=len(measured)
    ) as progress:
        for size in wanted:
            if size not in measured:
                rows.append(measure(size, num_steps=request.num_steps))
                write_rows(rows, table)
                atomic_write(record, (json.dumps({"calls": calls}, indent=1) + "\n").encode())
                progress.update()
    laws = [fit_law(rows, work) for work in ("search", "retraining")]
    written = publish(request.out, rows, laws)
    print(f"written: {' '.join(str(path) for path in (table, record, *written))}")
    return OK


def load_rows(table: Path) -> list[StepRow]:
    """Read the rows that an earlier call has written; none where there is no table."""
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, Any]) -> StepRow:
    types = {"work": str, "median_ms": float, "fastest_ms": float, "slowest_ms": float}
    return StepRow(**{name: types.get(name, int)(text) for name, text in line.items()})


def publish(folder: Path, rows: Sequence[StepRow], laws: Sequence[Law]) -> list[Path]:
    """Print the laws, and write them with the table and the figure."""
    text = markdown(rows, laws)
    print(text)
    atomic_write(folder / "scaling.md", text.encode())
    return [folder / "scaling.md", *save_figure(draw_laws(rows, laws), folder / "scaling")]


if __name__ == "__main__":
    run_command(main)
