"""The zoo's table in its three forms, on rows made by hand."""

import io
import re

import pandas as pd
import pytest

from autoseg.reporting.zoo import (
    ZOO_FORMATS,
    ScoreRow,
    Zoo,
    ZooRow,
    zoo_csv,
    zoo_markdown,
    zoo_text,
)


def score(number, miou, images="VOC 2012 test"):
    return ScoreRow(
        number=number, miou=miou, images=images, protocol="dense CRF", source="Paper A, table 3"
    )


ZOO = Zoo(
    networks=(
        ZooRow(
            name="first_net",
            paper="A",
            reference='Ada et al. 2015, "On | Nets" (arXiv 1501.00001)',
            year=2015,
            num_params=12_345_678,
            num_params_training=23_456_789,
            macs=(987_654_321, 43_210_987_654),
            scores=(score(1, 65.0), score(2, 62.25, "CamVid val")),
        ),
        ZooRow(
            name="second_net",
            paper="B",
            reference='Bo 2018, "More Nets" (arXiv 1801.00002)',
            year=2018,
            num_params=999,
            macs=(1, 2),
        ),
    ),
    encoders=(
        ZooRow(
            name="an_encoder",
            paper="A",
            reference='Ada et al. 2015, "On | Nets" (arXiv 1501.00001)',
            year=2015,
            num_params=7_654_321,
            num_params_headless=6_543_210,
            macs=(3_000_000_001,),
        ),
    ),
    num_classes=7,
    encoder_classes=1000,
    sizes=((24, 40), (48, 80)),
    encoder_sizes=((24, 40),),
    command="python -m autoseg.networks --num-classes 7",
)


def cells(page, name):
    """Return the row of a name in Markdown, cell by cell."""
    (line,) = re.findall(rf"^\| *{name} *\|.*$", page, flags=re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_rows_are_rounded_for_reading():
    page = zoo_markdown(ZOO)
    first = ["first_net", "A", "2015", "12,345,678", "23,456,789", "0.9877", "43.21"]
    assert cells(page, "first_net") == [*first, r"65.0 VOC 2012 test \[1\], 62.25 CamVid val \[2\]"]
    assert cells(page, "second_net")[3:5] == ["999", "-"]
    assert cells(page, "second_net")[-1] == "-"
    assert cells(page, "an_encoder") == [
        "an_encoder",
        "A",
        "2015",
        "7,654,321",
        "6,543,210",
        "3.000",
    ]
    assert "MACs, 24 x 40 (G)" in page and "MACs, 48 x 80 (G)" in page


def test_markdown_page_says_what_the_numbers_mean_and_what_made_it():
    page = zoo_markdown(ZOO)
    title, reading, made = page.split("\n\n")[:3]
    assert title == "# The zoo"
    for words in ("with 7 classes", "1000 classes", "FLOPs are twice", "Cited, not measured here"):
        assert words in reading
    assert "`python -m autoseg.networks --num-classes 7`" in made
    assert "- [2] first_net, 62.25 % on CamVid val: dense CRF. Source: Paper A, table 3.\n" in page
    # A paper that two rows share stands once.
    assert page.count('- A: Ada et al. 2015, "On | Nets" (arXiv 1501.00001)') == 1
    assert page.endswith("\n") and not page.endswith("\n\n")


def test_text_has_a_line_for_each_score_and_aligned_columns():
    text = zoo_text(ZOO)
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("first_net"))
    assert lines[start].endswith("65.0 VOC 2012 test [1]")
    assert lines[start + 1].strip() == "62.25 CamVid val [2]"
    assert lines[start + 1].index("62.25") == lines[start].index("65.0")
    # Numbers end in one column, so that digits of the same weight stand below each other.
    second = next(line for line in lines if line.startswith("second_net"))
    assert lines[start].index("12,345,678") + len("12,345,678") == second.index("999") + 3
    footnotes = text.split("Cited scores")[1]
    assert max(map(len, footnotes.splitlines())) <= 100


def test_csv_has_the_exact_values():
    frame = pd.read_csv(io.StringIO(zoo_csv(ZOO))).set_index("name")
    assert list(frame.index) == ["first_net", "second_net", "an_encoder"]
    assert list(frame["kind"]) == ["network", "network", "encoder"]
    assert list(frame["num_params"]) == [12_345_678, 999, 7_654_321]
    assert list(frame["num_classes"]) == [7, 7, 1000]
    assert frame.loc["first_net", "macs_24x40"] == 987_654_321
    assert frame.loc["first_net", "macs_48x80"] == 43_210_987_654
    assert frame.loc["an_encoder", "macs_24x40"] == 3_000_000_001
    assert pd.isna(frame.loc["an_encoder", "macs_48x80"])
    assert pd.isna(frame.loc["second_net", "num_params_training"])
    assert frame.loc["first_net", "cited_miou"] == (
        "65.0 VOC 2012 test (dense CRF; Paper A, table 3) | "
        "62.25 CamVid val (dense CRF; Paper A, table 3)"
    )


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_what_has_no_rows_has_no_heading(name):
    zoo = Zoo(
        networks=(),
        encoders=ZOO.encoders,
        num_classes=7,
        encoder_classes=1000,
        sizes=ZOO.sizes,
        encoder_sizes=ZOO.encoder_sizes,
        command="x",
    )
    text = ZOO_FORMATS[name](zoo)
    assert "Encoders, 1000 classes" in text
    assert "Segmentation networks," not in text and "Cited scores" not in text
