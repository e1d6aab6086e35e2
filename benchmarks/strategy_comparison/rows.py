"""What is known of each contestant and seed, kept in a file from which a stopped call goes on."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from autoseg.atomic import atomic_write


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One contestant with one seed."""

    contestant: str
    """Name of the contestant."""
    seed: int
    """Seed of its search, or of what was drawn, and of the retraining."""
    miou: float
    """On the test split, from the last weights of the retraining, in [0, 1]."""
    path: str
    """Strides of the architecture; empty for a fixed network."""
    cell: str
    """For each node of the cell the two sources with their operations."""
    macs: int
    """Multiply-accumulates of the network that was scored, for one image."""
    parameters: int
    """Parameters of the same network."""
    search_steps: int
    """Steps of the search; 0 if nothing was searched, as in all that follows."""
    search_evaluations: int
    """Passes of a network over a batch."""
    search_processor_s: float
    """Processor time of the search, all threads together."""
    search_s: float
    """Time of the search by the clock."""
    commit: str
    """Commit of the code that searched, retrained last, and scored."""

    @property
    def key(self) -> tuple[str, int]:
        """What the row is of."""
        return self.contestant, self.seed


_CONVERT: dict[str, Callable[[str], Any]] = {
    field.name: {"str": str, "int": int, "float": float}[
        field.type if isinstance(field.type, str) else field.type.__name__
    ]
    for field in fields(Row)
}
"""What makes each value of its text."""


def read_rows(path: Path) -> list[Row]:
    """Read the rows of earlier calls; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(**{name: convert(row[name]) for name, convert in _CONVERT.items()})
            for row in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, contestants in the order in which they first occur."""
    places = list(dict.fromkeys(row.contestant for row in rows))
    ordered = sorted(rows, key=lambda row: (places.index(row.contestant), row.seed))
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in ordered)
    atomic_write(path, text.getvalue().encode())
