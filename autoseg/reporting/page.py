"""One HTML page that needs no other file, no script and no network."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        autoescape=True,
        # What no escaping helps against: control characters, and what UTF-8 cannot hold.
        finalize=lambda value: printable(str(value), keep="\n"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(_TEMPLATE).render(
        title=title, warning=warning, sections=sections, facts=facts
    )


_TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 1400px;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.6rem;
  border-bottom: 1px solid #d0d7de; padding-bottom: .3rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: .8rem 0 1.4rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid #eaeef2; }
td { white-space: nowrap; }
th { background: #f6f8fa; vertical-align: bottom; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tbody tr:hover td { background: #f6f8fa; }
.warning { background: #fff4e5; border-left: 4px solid #d55e00; padding: .7rem 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; font-size: 13px; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
li { font-size: 13px; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if warning %}
<p class="warning">{{ warning }}</p>
{% endif %}
{% for section in sections %}
<h2>{{ section.heading }}</h2>
{% if section.text %}
<p>{{ section.text }}</p>
{% endif %}
{% if section.picture %}
<figure><img src="{{ section.picture.address }}" alt="{{ section.picture.alt }}"></figure>
{% endif %}
{% for table in section.tables %}
<div class="wide"><table>
{% if table.caption %}
<caption>{{ table.caption }}</caption>
{% endif %}
{% if table.frame is not none %}
<thead><tr>{% for name in table.frame.columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.frame.itertuples(index=False, name=None) %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
{% else %}
<thead><tr><th>class</th>{% for name in table.heat.columns %}<th>{{ name }}</th>{% endfor %}\
</tr></thead>
<tbody>
{% for name, cells in table.heat.rows %}
<tr><td>{{ name }}</td>{% for text, share in cells %}\
<td style="background: rgba(0, 114, 178, {{ '%.2f' % (0.5 * share) }})">{{ text }}</td>\
{% endfor %}</tr>
{% endfor %}
</tbody>
{% endif %}
</table></div>
{% endfor %}
{% if section.notes %}
<ul>
{% for note in section.notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
{% endfor %}
<h2>Protocol</h2>
<dl>
{% for name, value in facts.items() %}
<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
</body>
</html>
"""
