"""The page is parsed: well-formed, every text escaped, and nothing outside referred to."""

import base64
import math
import re
from html.parser import HTMLParser

import pandas as pd

from autoseg.reporting.page import Heat, Picture, Section, Table, render_page

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Collects texts and attributes, and checks that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.attributes, self.tags = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th", "dd", "dt", "li", "p"):
            self.cells.append(data)


def page():
    heat = Heat(names=["road", "sky"], columns={"a": [0.5, math.nan], "b": [1.0, 0.0]}, missing="-")
    sections = [
        Section(
            heading="One",
            text="a < b & c",
            picture=Picture(svg="<svg></svg>", alt='a "picture"'),
            tables=(
                Table(
                    frame=pd.DataFrame(
                        {"Network": ["<script>", "x"], "mIoU (%)": ["1", "2"], "Run": ["r/a", "b"]}
                    ),
                    words=frozenset({"Network", "Run"}),
                ),
                Table(heat=heat, caption="classes"),
            ),
            notes=("a note",),
        ),
        Section(heading="Two"),
    ]
    return render_page(
        title="T", warning="Beware <b>", sections=sections, facts={"Command": "python x --a 'b'"}
    )


def test_every_text_is_there_and_escaped():
    parsed = Page(page())
    for text in ("<script>", "x", "Beware <b>", "a < b & c", "a note", "python x --a 'b'", "road"):
        assert text in parsed.cells
    assert "script" not in parsed.tags and "b" not in parsed.tags


def test_words_are_set_to_the_left_and_numbers_to_the_right():
    rows = re.findall(r"<tr>(.*?)</tr>", page())[:3]  # the heading, and two rows
    left = [re.findall(r'<t[hd]( class="words")?>', row) for row in rows]
    assert left == [[' class="words"', "", ' class="words"']] * 3
    assert ".words { text-align: left; }" in page()


def test_heat_in_percent_with_gaps():
    cells = Page(page()).cells
    start = cells.index("road")
    assert cells[start : start + 6] == ["road", "50.0", "100.0", "sky", "-", "0.0"]


def test_nothing_outside_is_referred_to():
    text = page()
    assert not re.search(r"(https?:)?//", text)
    addresses = [value for name, value in Page(text).attributes if name in ("src", "href")]
    (address,) = addresses
    kind, _, content = address.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == b"<svg></svg>"


def test_no_warning_no_box():
    text = render_page(title="T", warning=None, sections=[], facts={})
    assert 'class="warning"' not in text
