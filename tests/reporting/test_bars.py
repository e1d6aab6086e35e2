"""Bars of one scale: every length is its value's share of the longest, counted by hand."""

import pandas as pd
import pytest

from autoseg.reporting.bars import WIDTH, Bar, Bars, bars_of
from autoseg.reporting.page import Section, Table, render_page

BARS = Bars(
    names=("network", "CRF"),
    unit="ms",
    bars=(
        Bar(parts=(10.0, 30.0), spread=(35.0, 38.0, 41.0, 45.0, 50.0)),
        Bar(parts=(20.0, 0.0)),
        Bar(parts=(0.001, 0.0)),
    ),
)


def drawn(number):
    return {each.kind: (each.x, each.width) for each in BARS.drawings[number][1]}


def test_lengths_are_shares_of_the_longest():
    assert BARS.reach == 50.0  # the slowest runs of the first
    unit = WIDTH / 50
    expected = {
        "part-0": (0, 10 * unit),
        "part-1": (10 * unit, 30 * unit),
        "range": (35 * unit, 15 * unit),
        "box": (38 * unit, 7 * unit),
        "median": (41 * unit, 1),
    }
    assert drawn(0) == {kind: pytest.approx(ends, abs=0.01) for kind, ends in expected.items()}
    assert drawn(1) == {"part-0": (0, pytest.approx(20 * unit))}
    assert drawn(2)["part-0"] == (0, 1)  # seen, however short


def test_a_bar_says_the_same_in_words():
    assert [words for words, _ in BARS.drawings] == [
        "network 10 ms, CRF 30 ms, the whole 35 to 50 ms",
        "network 20 ms",
        "network 0.001 ms",
    ]


def test_where_nothing_is_known_nothing_is_drawn():
    assert bars_of(["a"], "ms", [Bar(parts=(0.0,))]) is None
    assert bars_of(["a"], "ms", []) is None


def test_the_page_draws_a_bar_beside_each_name():
    frame = pd.DataFrame({"Network": ["a", "b", "<c>"], "Total": ["1", "2", "3"]})
    page = render_page(
        title="T",
        warning=None,
        facts={},
        sections=[Section(heading="H", tables=(Table(frame=frame, bars=BARS),))],
    )
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    assert body.count("<svg") == 3 and body.count("<rect") == 7
    assert 'aria-label="network 10 ms, CRF 30 ms, the whole 35 to 50 ms"' in body
    heading = page[page.index("<thead>") : page.index("</thead>")]
    assert heading.count("swatch part-") == 2
