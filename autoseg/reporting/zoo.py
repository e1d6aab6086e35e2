"""The table of the zoo: what networks cost, counted, beside what was published of them, cited."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.reporting.tables import (
    MISSING,
    Column,
    readable_frame,
    to_csv,
    to_markdown,
)

Size = tuple[int, int]
"""Height and width of an image, in pixels."""

_TEXT_WIDTH = 100
_COUNTS = ("num_params", "num_params_training", "num_params_headless")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow:
    """A published mIoU, ready to be printed."""

    number: int
    """Number of its footnote, the same whichever rows are shown."""
    miou: float
    """Percent."""
    images: str
    """Dataset and split: "VOC 2012 test"."""
    protocol: str
    """How the score was reached."""
    source: str
    """Place in the paper where the score stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZooRow:
    """One network."""

    name: str
    """The name as users type it; of an architecture with its filter multiplier: "NAME F20"."""
    paper: str
    """What the field calls its paper."""
    reference: str
    """The paper in full."""
    year: int
    """Year of publication."""
    num_params: int
    """Parameters that take part in eval mode; an encoder's with its classifier."""
    num_params_training: int | None = None
    """Parameters with the training-only classifiers; None if there are none."""
    num_params_headless: int | None = None
    """Parameters of an encoder without its classifier; None for other networks."""
    macs: tuple[int, ...]
    """MACs of one image at each of the sizes that the table's columns name."""
    scores: tuple[ScoreRow, ...] = ()
    """Published scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Zoo:
    """All rows, and what they were counted with."""

    networks: tuple[ZooRow, ...]
    """Segmentation networks."""
    encoders: tuple[ZooRow, ...]
    """Classifiers, which encode images for the networks."""
    num_classes: int
    """Classes of the segmentation networks."""
    encoder_classes: int
    """Classes of the encoders' classifiers."""
    sizes: tuple[Size, ...]
    """Image sizes of the segmentation networks' MACs."""
    encoder_sizes: tuple[Size, ...]
    """Image sizes of the encoders' MACs."""
    command: str
    """Command line that makes the page again."""


def zoo_markdown(zoo: Zoo) -> str:
    """Write the page: how to read it, the tables, the cited scores and the papers."""
    blocks = [
        "# The zoo",
        reading(zoo),
        f"This page is generated; `{zoo.command}` writes it again.",
    ]
    for table in _tables(zoo):
        blocks += [f"## {table.heading}", to_markdown(table.records(), table.columns)]
    for heading, notes in _notes(zoo):
        blocks += [f"## {heading}", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(blocks) + "\n"


def zoo_text(zoo: Zoo) -> str:
    """Write the same for a terminal: aligned columns, a line for each score."""
    blocks = []
    for table in _tables(zoo):
        frame = readable_frame(table.records(separator="\n"), table.columns)
        lines = frame.rename(columns=_narrow).to_markdown(
            index=False,
            tablefmt="simple",
            disable_numparse=True,
            colalign=["left" if column.kind == "text" else "right" for column in table.columns],
        )
        blocks.append(f"{table.heading}\n\n{lines}")
    for heading, notes in _notes(zoo):
        blocks.append(f"{heading}\n\n" + "\n".join(_wrapped(note) for note in notes))
    blocks.append(_wrapped(reading(zoo), indent=""))
    return "\n\n".join(blocks) + "\n"


def zoo_csv(zoo: Zoo) -> str:
    """Write the exact values, one network a line; scores stand with protocol and source."""
    sizes = (*(zoo.sizes if zoo.networks else ()), *(zoo.encoder_sizes if zoo.encoders else ()))
    columns = [
        *(Column(key=key, heading=key) for key in ("kind", "name", "paper", "reference", "year")),
        *(Column(key=key, heading=key) for key in ("num_classes", *_COUNTS)),
        *(Column(key=_macs_key(size), heading=_macs_key(size)) for size in dict.fromkeys(sizes)),
        Column(key="cited_miou", heading="cited_miou"),
    ]
    records = [
        *(_exact("network", row, zoo.num_classes, zoo.sizes) for row in zoo.networks),
        *(_exact("encoder", row, zoo.encoder_classes, zoo.encoder_sizes) for row in zoo.encoders),
    ]
    return to_csv(records, columns)


ZOO_FORMATS: dict[str, Callable[[Zoo], str]] = {
    "table": zoo_text,
    "markdown": zoo_markdown,
    "csv": zoo_csv,
}
"""Writers by the name of the format."""


def reading(zoo: Zoo) -> str:
    """Say what the numbers mean."""
    return (
        f"Counted here, on the networks as they are built, with {zoo.num_classes} classes: "
        "parameters that take part in eval mode (frozen ones and batch norm's scale and shift "
        "included, running statistics not), the same with the auxiliary classifiers that serve "
        "training alone, and multiply-accumulates (MACs) of one image in eval mode. FLOPs are "
        "twice the MACs; convolutions, linear layers and matrix products count; biases, "
        "normalisation, activations, pooling and resizing do not. Encoders have their classifier "
        f"of {zoo.encoder_classes} classes; headless means without it. Cited, not measured here: "
        "every mIoU. The number in brackets leads to its protocol and source. Training data "
        "and tests differ from score to score, so compare two only where these agree. "
        f"{MISSING!r} stands where no published score of this very network could be confirmed. "
        "The year is that of publication."
    )


def size_text(size: Size) -> str:
    """Write an image size as height x width."""
    return f"{size[0]} x {size[1]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    heading: str
    rows: Sequence[ZooRow]
    columns: Sequence[Column]
    sizes: Sequence[Size]

    def records(self, *, separator: str = ", ") -> list[dict[str, Any]]:
        """Return the lines; whole numbers are text, with their thousands apart."""
        return [
            {
                "name": row.name,
                "paper": row.paper,
                "year": row.year,
                **{key: _grouped(getattr(row, key)) for key in _COUNTS},
                **{_macs_key(size): macs / 1e9 for size, macs in self._macs(row)},
                "scores": separator.join(
                    f"{_percent(score.miou)} {score.images} [{score.number}]"
                    for score in row.scores
                )
                or None,
            }
            for row in self.rows
        ]

    def _macs(self, row: ZooRow) -> list[tuple[Size, int]]:
        return list(zip(self.sizes, row.macs, strict=True))


def _tables(zoo: Zoo) -> list[_Table]:
    """Return the tables that have rows."""
    first = [
        Column(key="name", heading="Network"),
        Column(key="paper", heading="Paper"),
        Column(key="year", heading="Year", kind="exact"),
        Column(key="num_params", heading="Parameters", kind="exact"),
    ]
    networks = _Table(
        heading=f"Segmentation networks, {zoo.num_classes} classes",
        rows=zoo.networks,
        columns=[
            *first,
            Column(key="num_params_training", heading="Parameters, with auxiliary", kind="exact"),
            *map(_macs_column, zoo.sizes),
            Column(key="scores", heading="mIoU (%), cited"),
        ],
        sizes=zoo.sizes,
    )
    encoders = _Table(
        heading=f"Encoders, {zoo.encoder_classes} classes",
        rows=zoo.encoders,
        columns=[
            *first,
            Column(key="num_params_headless", heading="Parameters, headless", kind="exact"),
            *map(_macs_column, zoo.encoder_sizes),
        ],
        sizes=zoo.encoder_sizes,
    )
    return [table for table in (networks, encoders) if table.rows]


def _macs_column(size: Size) -> Column:
    heading = f"MACs, {size_text(size)}"
    return Column(key=_macs_key(size), heading=heading, kind="number", unit="G")


def _macs_key(size: Size) -> str:
    return f"macs_{size[0]}x{size[1]}"


def _narrow(heading: str) -> str:
    """Break a heading into lines, so that its column is as wide as its numbers."""
    for mark, broken in ((", ", ",\n"), (" x ", " x\n"), ("with ", "with\n")):
        heading = heading.replace(mark, broken)
    return heading


def _grouped(count: int | None) -> str | None:
    return None if count is None else f"{count:,}"


def _percent(miou: float) -> str:
    """Write one decimal, or two where the source has them."""
    return f"{miou:.2f}".removesuffix("0")


def _exact(kind: str, row: ZooRow, num_classes: int, sizes: Sequence[Size]) -> dict[str, Any]:
    cited = [f"{_percent(s.miou)} {s.images} ({s.protocol}; {s.source})" for s in row.scores]
    return {
        "kind": kind,
        "name": row.name,
        "paper": row.paper,
        "reference": row.reference,
        "year": row.year,
        "num_classes": num_classes,
        **{key: getattr(row, key) for key in _COUNTS},
        **{_macs_key(size): macs for size, macs in zip(sizes, row.macs, strict=True)},
        "cited_miou": " | ".join(cited) or None,
    }


def _notes(zoo: Zoo) -> list[tuple[str, list[str]]]:
    """Heading and lines of each list that has lines."""
    cited = [
        f"[{score.number}] {row.name}, {_percent(score.miou)} % on {score.images}: "
        f"{score.protocol}. "
        f"Source: {score.source}."
        for row in zoo.networks
        for score in row.scores
    ]
    rows = (*zoo.networks, *zoo.encoders)
    references = dict.fromkeys(f"{row.paper}: {row.reference}" for row in rows)
    notes = [
        ("Cited scores (not measured here)", cited),
        ("Papers", list(references)),
    ]
    return [(heading, lines) for heading, lines in notes if lines]


def _wrapped(text: str, *, indent: str = "    ") -> str:
    return textwrap.fill(
        text,
        _TEXT_WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
