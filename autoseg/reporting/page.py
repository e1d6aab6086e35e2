"""One HTML page that needs no other file, no script and no network."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from autoseg.foreign_text import printable


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """Fractions by name and column, shown as percentages on a blue that deepens with the value."""

    names: Sequence[str]
    """One a row."""
    columns: Mapping[str, Sequence[float]]
    """One value a row; nan has none."""
    missing: str
    """Stands for nan."""

    @property
    def rows(self) -> list[tuple[str, list[tuple[str, float]]]]:
        """For each name the cells: text, and share of the colour."""
        return [
            (name, [self._cell(values[i]) for values in self.columns.values()])
            for i, name in enumerate(self.names)
        ]

    def _cell(self, value: float) -> tuple[str, float]:
        return (self.missing, 0.0) if math.isnan(value) else (f"{100 * value:.1f}", value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of texts, or one of fractions."""

    frame: pd.DataFrame | None = None
    """Texts; the first column names the row."""
    words: frozenset[str] = frozenset()
    """Columns of the frame that hold words, which are set to the left; numbers to the right."""
    heat: Heat | None = None
    """Fractions."""
    caption: str = ""
    """Text above the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A drawing."""

    svg: str
    """The drawing."""
    alt: str
    """What it shows, for those who cannot see it."""

    @property
    def address(self) -> str:
        """The drawing as an address that holds its own content."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of the page under a heading."""

    heading: str
    """The heading."""
    text: str = ""
    """A paragraph below it."""
    picture: Picture | None = None
    """A drawing below that."""
    tables: tuple[Table, ...] = ()
    """Tables below that."""
    notes: tuple[str, ...] = ()
    """A list at the end."""


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
        HTML, every text escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        keep_trailing_newline=True,
        # What no escaping helps against: control characters, and what UTF-8 cannot hold.
        finalize=lambda value: printable(str(value), keep="\n"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(
        title=title, warning=warning, sections=sections, facts=facts
    )
