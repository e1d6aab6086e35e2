"""Rows of a benchmark as a CSV file, written anew whenever one more is known."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.atomic import atomic_write


def write_rows(rows: Sequence[Any], path: Path) -> None:
    """Write rows, instances of one dataclass, under the names of its fields."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(rows[0]))
    writer.writerows(dataclasses.astuple(row) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text.getvalue().encode())
