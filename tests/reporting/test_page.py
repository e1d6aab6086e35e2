"""The page is parsed: well-formed, every text escaped, and nothing outside referred to."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from autoseg.reporting import page as page_module
from autoseg.reporting import runs_page
from autoseg.reporting.chart import Axis, Chart, Point
from autoseg.reporting.figure import BLACK, BLUE
from autoseg.reporting.page import Heat, Picture, Scene, Section, Table, render_page

VOID = {"meta", "img", "br", "link"}
CHART = Chart(
    axes=(Axis(key="x", heading="</script><b>"), Axis(key="y", heading="y", factor=100)),
    x="x",
    y="y",
    points=(
        Point(label="<!--\x1b", values={"x": 1.0, "y": 0.25}, colour=BLACK),
        Point(label="b", remark="r", values={"x": None, "y": 1}, colour=BLUE, unranked=("x",)),
    ),
)


class Page(HTMLParser):
    """Collects texts and attributes, and checks that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.attributes, self.tags = [], [], [], []
        self.scripts = []
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
        if self.open and self.open[-1] in ("td", "th", "a", "dd", "dt", "li", "p"):
            self.cells.append(data)
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def page():
    heat = Heat(names=["road", "sky"], columns={"a": [0.5, math.nan], "b": [1.0, 0.0]}, missing="-")
    sections = [
        Section(
            heading="One",
            anchor="g1",
            verdict=("it <wins>",),
            text="a < b & c",
            chart=CHART,
            scenes=(
                Scene(
                    name='a "picture"',
                    pictures=(
                        Picture(label="image", content=b"JPEG", kind="jpeg"),
                        Picture(label="truth", content=b"PNG", kind="png"),
                    ),
                ),
            ),
            tables=(
                Table(
                    frame=pd.DataFrame(
                        {"Network": ["<script>", "x"], "mIoU (%)": ["1", "2"], "Run": ["a", "b"]}
                    ),
                    words=frozenset({"Network", "Run"}),
                    has_anchors=True,
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
    for text in (
        "<script>",
        "x",
        "Beware <b>",
        "it <wins>",
        "a < b & c",
        "a note",
        "python x --a 'b'",
        "road",
    ):
        assert text in parsed.cells
    assert parsed.tags.count("script") == 2 and "b" not in parsed.tags
    assert ("id", "g1-r2") in parsed.attributes and ("href", "#g1-r2") in parsed.attributes


def test_no_text_of_a_chart_ends_its_data():
    data, _ = Page(page()).scripts
    assert not set("<>&\x1b") & set(data)
    chart = json.loads(data)
    assert chart["axes"][0]["heading"] == "</script><b>"
    first, second = chart["points"]
    assert (first["label"], first["colour"]) == (r"<!--\x1b", "currentColor")  # black on black
    assert first["values"] == {"x": 1.0, "y": 25.0}
    assert second["values"] == {"x": None, "y": 100} and second["unranked"] == ["x"]


def test_the_policy_allows_the_pages_own_script_alone():
    parsed = Page(page())
    (policy,) = [text for _, text in parsed.attributes if text and text.startswith("default-src")]
    digest = hashlib.sha256(parsed.scripts[-1].encode()).digest()
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{base64.b64encode(digest).decode()}'"
    )


def test_every_file_of_the_script_is_read():
    folder = Path(page_module.__file__).parent / "report"
    on_disk = {path.name for path in folder.iterdir()}
    assert on_disk == {
        *("page.html.j2", "runs.html.j2", "style.css"),
        *page_module._SCRIPTS,
        *runs_page._SCRIPTS,
    }


def test_words_are_set_to_the_left_and_numbers_to_the_right():
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page())[:3]  # the heading, and two rows
    left = [re.findall(r'<(?:th scope="col"|td)( class="words")?>', row) for row in rows]
    words, number = ' class="words"', ""
    assert left == [[words, number, words], [number, words], [number, words]]
    assert 'th[scope="row"], th:first-child, .words { text-align: left; }' in page()


def test_heat_in_percent_with_gaps():
    cells = Page(page()).cells
    start = cells.index("road")
    assert cells[start : start + 6] == ["road", "50.0", "100.0", "sky", "-", "0.0"]


def test_differences_have_their_sign_and_deepen_to_ten_points():
    columns = {"a": [0.05], "b": [-0.3], "c": [-0.0001]}
    heat = Heat(names=["road"], columns=columns, missing="-", is_change=True)
    changes = [("+5.0", 0.5, False), ("-30.0", 1.0, True), ("+0.0", 0.001, True)]
    assert heat.rows == [("road", changes)]


def test_nothing_outside_is_referred_to():
    text = page()
    assert not re.search(r"(https?:)?//", text)
    addresses = [value for name, value in Page(text).attributes if name in ("src", "href")]
    pictures = [address.partition(",") for address in addresses if not address.startswith("#")]
    assert [(kind, base64.b64decode(content)) for kind, _, content in pictures] == [
        ("data:image/jpeg;base64", b"JPEG"),
        ("data:image/png;base64", b"PNG"),
    ]


def test_no_warning_no_box():
    text = render_page(title="T", warning=None, sections=[], facts={})
    assert 'class="warning"' not in text
