"""Rows of measurements as tables: exact in CSV, readable in Markdown, LaTeX and HTML."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from autoseg.foreign_text import latex_text, markdown_text, printable

if TYPE_CHECKING:  # half a second, which those who only round a number need not wait
    import pandas as pd

Kind = Literal["text", "exact", "percent", "change", "scaled", "number"]
"""How values are written; see `Column.kind`."""

Record = Mapping[str, Any]

MISSING = "-"
"""Stands where a row has no value: never 0, and never an empty cell."""

_NUM_DIGITS = 4
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table."""

    key: str
    """Field of the records; also the column's name in CSV, so it carries the unit where one is."""

    heading: str
    """What a reader sees above it, without the unit."""

    kind: Kind = "text"
    """"text": as it is. "exact": as it is, a number. "percent": a fraction, times 100. "change":
    the same with its sign. "scaled": with the prefix k, M or G that suits the largest value of the
    column. "number": four significant digits."""

    unit: str = ""
    """Unit of the values as the reader sees them; "percent" and "scaled" find it themselves."""

    second_key: str | None = None
    """Field whose value is written after the first one's and a slash; not in CSV."""

    settled_key: str | None = None
    """Field that is False where the value is that of a measurement that had not settled; the text
    says so then."""


def exact_frame(records: Sequence[Record], columns: Sequence[Column]) -> "pd.DataFrame":
    """Arrange records as a frame of unrounded values; a field that a record lacks is None."""
    import pandas as pd

    rows = [[record.get(column.key) for column in columns] for record in records]
    # object: a column of whole numbers with a gap would become floating point.
    return pd.DataFrame(rows, columns=pd.Index([c.key for c in columns]), dtype=object)


def readable_frame(records: Sequence[Record], columns: Sequence[Column]) -> "pd.DataFrame":
    """Arrange records as a frame of text, with headings and units, rounded for reading."""
    import pandas as pd

    cells = {}
    for column in columns:
        unit, texts = format_values([record.get(column.key) for record in records], column)
        if column.second_key is not None:
            seconds = [record.get(column.second_key) for record in records]
            _, second_texts = format_values(seconds, column)
            texts = [
                MISSING if first == second == MISSING else f"{first} / {second}"
                for first, second in zip(texts, second_texts, strict=True)
            ]
        if column.settled_key is not None:
            settled = [record.get(column.settled_key) for record in records]
            texts = [
                f"{text}, unsettled" if is_settled is False else text
                for text, is_settled in zip(texts, settled, strict=True)
            ]
        cells[f"{column.heading} ({unit})" if unit else column.heading] = texts
    return pd.DataFrame(cells, dtype=object)


def format_values(values: Sequence[Any], column: Column) -> tuple[str, list[str]]:
    """Write the values of one column as text.

    Args:
        values: The column's values in all rows; None and nan are missing.
        column: How they are written.

    Returns:
        The unit for the heading, "" if there is none, and the texts.
    """
    present = [value for value in values if not _is_missing(value)]
    unit, divisor = column.unit, 1.0
    if column.kind == "percent":
        unit = "%"
    elif column.kind == "change":
        unit = "points"
    elif column.kind == "scaled":
        divisor, unit = prefix_for(max((abs(value) for value in present), default=0.0))
    texts = [
        MISSING if _is_missing(value) else _format(value, column.kind, divisor) for value in values
    ]
    return unit, texts


def significant(value: float, num_digits: int = _NUM_DIGITS) -> str:
    """Round to significant digits and write without exponent: 59.344309 becomes "59.34"."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{num_digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, num_digits - 1 - exponent)}f}"


def scaled(value: float) -> str:
    """Write a count with its own prefix: 59344309 becomes "59.34 M"."""
    divisor, prefix = prefix_for(abs(value))
    return f"{significant(value / divisor)} {prefix}".rstrip()


def prefix_for(largest: float) -> tuple[float, str]:
    """Choose the prefix k, M or G for a column of counts by its largest value.

    Returns:
        What to divide by, and the prefix; 1 and "" below a thousand.
    """
    return next(((size, name) for size, name in _PREFIXES if largest >= size), (1.0, ""))


def split_constant(
    records: Sequence[Record], columns: Sequence[Column]
) -> tuple[list[Column], list[Column]]:
    """Tell columns whose value differs from row to row from those with one value only.

    Returns:
        The columns that vary, and those with one value in all rows that have any; columns that are
        missing in every row are in neither.
    """
    varying, constant = [], []
    for column in columns:
        values = [record.get(column.key) for record in records]
        present = [value for value in values if not _is_missing(value)]
        if present:
            (constant if all(value == present[0] for value in present) else varying).append(column)
    return varying, constant


def to_csv(records: Sequence[Record], columns: Sequence[Column]) -> str:
    """Write the exact values as CSV; reading it back gives the same numbers, bit for bit.

    Control characters in texts become escapes: a bare carriage return would end the row. The items
    of a tuple stand in one cell with spaces between them.
    """
    buffer = io.StringIO()
    shown = [{key: _csv_value(value) for key, value in record.items()} for record in records]
    exact_frame(shown, columns).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def to_markdown(records: Sequence[Record], columns: Sequence[Column]) -> str:
    """Write a pipe table, as GitHub and most Markdown programs show it."""
    frame = readable_frame(records, columns)
    escaped = frame.map(partial(markdown_text, in_cell=True))
    return escaped.to_markdown(
        index=False, disable_numparse=True, colalign=_alignments(columns, "left", "right")
    )


def to_latex(records: Sequence[Record], columns: Sequence[Column], *, caption: str) -> str:
    """Write a LaTeX table that is as wide as the text; it needs booktabs and graphicx.

    Args:
        records: The rows.
        columns: The columns.
        caption: Plain text; characters with a meaning in LaTeX are escaped, as in the cells.
    """
    frame = readable_frame(records, columns)
    # Escaped here, not by pandas, which leaves the headings of the columns as they are.
    escaped = frame.map(latex_text).rename(columns=latex_text)
    tabular = escaped.to_latex(
        index=False, escape=False, column_format="".join(_alignments(columns, "l", "r"))
    )
    return (
        "% \\usepackage{booktabs,graphicx}\n"
        "\\begin{table}\n"
        "\\centering\n"
        f"\\caption{{{latex_text(caption)}}}\n"
        "\\resizebox{\\linewidth}{!}{%\n"
        f"{tabular.rstrip()}%\n"
        "}\n"
        "\\end{table}\n"
    )


def _csv_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or None
    return printable(value, keep="\n") if isinstance(value, str) else value


def _alignments(columns: Sequence[Column], left: str, right: str) -> list[str]:
    return [left if column.kind == "text" else right for column in columns]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _format(value: Any, kind: Kind, divisor: float) -> str:
    if kind == "percent":
        return f"{100 * value:.2f}"
    if kind == "change":
        return f"{100 * value:+z.2f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if kind in ("text", "exact"):
        return str(value)
    return significant(value / divisor)
