"""A dataset's card as text: Markdown that reads well in a terminal too."""

from collections.abc import Callable, Iterable, Sequence

from autoseg.data.card import DatasetCard, SampleFacts
from autoseg.foreign_text import markdown_text

_MAX_ROWS = 60  # classes that are listed one by one


def card_text(
    card: DatasetCard, *, title: str, escape: Callable[[str], str] = markdown_text
) -> str:
    """Write a card: splits, classes, and what is wrong.

    Args:
        card: What is known.
        title: The dataset's name or folder.
        escape: What makes foreign text safe: for Markdown, or for a terminal.
    """
    lines = [f"# {escape(title)}", ""]
    lines += [f"- {escape(note)}" for note in card.notes]
    lines += [""] if card.notes else []
    lines += _table(
        ("split", "images", "height x width", "channels", "without a class"),
        [
            (
                split.split,
                str(len(split.samples)),
                _sizes(split.samples),
                str(card.num_channels),
                _share(split.counts[-1], split.counts.sum()) if split.samples else "-",
            )
            for split in card.splits
        ],
    )
    splits = [split for split in card.splits if split.samples]
    heads = [head for split in splits for head in (f"{split.split}: pixels", "images")]
    rows = []
    for number, name in enumerate(card.class_names[:_MAX_ROWS]):
        cells = [
            cell
            for split in splits
            for cell in (
                _share(split.counts[number], split.counts[:-1].sum()),
                str(split.num_images[number]),
            )
        ]
        rows.append((str(number), escape(name), *cells))
    lines += ["", *_table(("", "class", *heads), rows)]
    if len(card.class_names) > _MAX_ROWS:
        lines += ["", f"... and {len(card.class_names) - _MAX_ROWS} more classes."]
    for head, found in (("Faults: a training would fail", card.faults), ("To know", card.warnings)):
        if found:
            lines += ["", f"## {head}", "", *(f"- {escape(each)}" for each in found)]
    if not card.faults and not card.warnings:
        lines += ["", "Nothing is wrong with it that could be found."]
    return "\n".join(lines) + "\n"


def _sizes(samples: Sequence[SampleFacts]) -> str:
    if not samples:
        return "-"
    heights, widths = zip(*(sample.size for sample in samples), strict=True)
    return f"{_span(heights)} x {_span(widths)}"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _share(part: int, whole: int) -> str:
    if part == 0:
        return "0"
    share = part / whole
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a Markdown table whose columns are aligned."""
    rows = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [_line(head, widths), "| " + " | ".join("-" * width for width in widths) + " |"]
    return [*lines, *(_line(row, widths) for row in rows)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "| " + " | ".join(padded) + " |"
