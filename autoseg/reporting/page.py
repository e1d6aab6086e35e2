"""One HTML page that needs no other file and no network; its script only rearranges what is there.

The template, the style and the script are files in `report/`. Without the script the page shows
every table and picture; with it tables sort and filter, the chart is drawn, and pictures are
compared under a slider.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import pandas as pd

from autoseg.foreign_text import printable
from autoseg.reporting.bars import HEIGHT, WIDTH, Bars
from autoseg.reporting.chart import Chart

_ASSETS = Path(__file__).parent / "report"
_SCRIPTS = (
    *("address.js", "table.js", "scales.js", "chart.js", "select.js", "slider.js", "main.js"),
)
"""In the order in which they are read; together they are the page's only script."""
_FULL_CHANGE = 0.1
"""Difference that has the deepest colour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """Fractions by name and column, shown as percentages on a blue that deepens with the value."""

    names: Sequence[str]
    """One a row."""
    columns: Mapping[str, Sequence[float]]
    """One value a row; nan has none."""
    missing: str
    """Stands for nan."""
    is_change: bool = False
    """Whether they are differences: with their sign, falls on orange, and deepest at 10 points."""

    @property
    def rows(self) -> list[tuple[str, list[tuple[str, float, bool]]]]:
        """A row for each name: the name and its cells, each a text, the share of the colour, and
        whether it is a fall."""
        return [
            (name, [self._cell(values[i]) for values in self.columns.values()])
            for i, name in enumerate(self.names)
        ]

    def _cell(self, value: float) -> tuple[str, float, bool]:
        if math.isnan(value):
            return self.missing, 0.0, False
        if self.is_change:
            return f"{100 * value:+z.1f}", min(abs(value) / _FULL_CHANGE, 1.0), value < 0
        return f"{100 * value:.1f}", value, False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of texts, or one of fractions."""

    frame: pd.DataFrame | None = None
    """Texts; the first column names the row."""
    words: frozenset[str] = frozenset()
    """Columns of the frame that hold words, which are set to the left; numbers to the right."""
    heat: Heat | None = None
    """Fractions."""
    bars: Bars | None = None
    """A drawing for each row of texts, beside its name."""
    caption: str = ""
    """Text above the table."""
    has_anchors: bool = False
    """Whether each row of texts has an address of its own, `#SECTION-rNUMBER`, and a filter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture of a scene, as the bytes of an image file."""

    label: str
    """What made it, "image", "truth" or a network, or what it shows."""
    content: bytes
    """An image file."""
    kind: str
    """"png", "jpeg" or "svg+xml"."""

    @property
    def address(self) -> str:
        """The picture as an address that holds its own content."""
        return f"data:image/{self.kind};base64," + base64.b64encode(self.content).decode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One image as it is, and as the truth and several networks label it."""

    name: str
    """Name of the image."""
    pictures: tuple[Picture, ...]
    """At least two, all of one size: the image, the truth, then predictions, the best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two pictures of one scene, one above the other."""

    caption: str
    """What both are."""
    upper: Picture
    """The picture above."""
    lower: Picture
    """The picture below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """One image in pairs that stand side by side: image and truth, then predictions and errors."""

    name: str
    """Name of the image."""
    remark: str
    """Why it is shown."""
    pairs: tuple[Pair, ...]
    """All of one size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of the page under a heading."""

    heading: str
    """The heading."""
    anchor: str = ""
    """Address of the section in the page, letters and digits; empty for none."""
    verdict: tuple[str, ...] = ()
    """What follows from the numbers, in sentences, above them."""
    text: str = ""
    """A paragraph that holds for all numbers below it."""
    chart: Chart | None = None
    """A chart of the rows of the first table."""
    tables: tuple[Table, ...] = ()
    """Tables below that."""
    classes: tuple[tuple[str, str], ...] = ()
    """Name and colour, "#RRGGBB", of what the pictures of scenes and grids show."""
    scenes: tuple[Scene, ...] = ()
    """Pictures below those, to be laid over each other."""
    grids: tuple[Grid, ...] = ()
    """Pictures below those, to be looked at side by side."""
    figures: tuple[Picture, ...] = ()
    """Drawings below those, on white."""
    attribution: str = ""
    """Source and licence of the pictures; empty where none is owed."""
    notes: tuple[str, ...] = ()
    """A list at the end."""

    def pictures(self, name: Literal["scenes", "grids", "figures"]) -> list[Picture]:
        """List the pictures of one of these fields."""
        if name == "scenes":
            return [picture for scene in self.scenes for picture in scene.pictures]
        if name == "grids":
            pairs = [pair for grid in self.grids for pair in grid.pairs]
            return [picture for pair in pairs for picture in (pair.upper, pair.lower)]
        return list(self.figures)


def render_page(
    *, title: str, warning: str | None, sections: Sequence[Section], facts: Mapping[str, str]
) -> str:
    """Render the page.

    Args:
        title: Its title.
        warning: What the reader must know before anything else; None if nothing.
        sections: Its parts, in order.
        facts: The protocol block at the end, by name.

    Returns:
        HTML, every text escaped. Its policy allows this page's script alone, and no request.
    """
    return render_template(
        "page.html.j2",
        _SCRIPTS,
        title=title,
        warning=warning,
        sections=sections,
        facts=facts,
        as_data=_as_data,
        bar_width=f"{WIDTH:g}",
        bar_height=f"{HEIGHT:g}",
    )


def render_template(name: str, scripts: Sequence[str], **values: object) -> str:
    """Render one of the templates in `report/`, every text escaped.

    Args:
        name: The template's file. It gets `style`, `script` and `script_hash` beside the values.
        scripts: The files that are the page's one script, in order.
        values: What the template shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        keep_trailing_newline=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    script = "\n" + "".join((_ASSETS / each).read_text(encoding="utf-8") for each in scripts)
    return environment.get_template(name).render(
        style=(_ASSETS / "style.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )


def _shown(value: object) -> object:
    """Write a value; control characters, and what UTF-8 cannot hold, no escaping helps against."""
    is_own_markup = hasattr(value, "__html__")  # what the template calls safe
    return value if is_own_markup else printable(str(value), keep="\n")


def _as_data(chart: Chart) -> str:
    """Write a chart as JSON that no text in it can end."""
    text = json.dumps(_printable_texts(chart.data()), separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # in JSON these stand inside of texts alone
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _printable_texts(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, keep="\n")
    if isinstance(value, Mapping):
        return {key: _printable_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable_texts(item) for item in value]
    return value
