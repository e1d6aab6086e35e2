"""Tables against cases worked by hand, and read back."""

import csv
import io
import math

import pytest

from autoseg.reporting.tables import (
    Column,
    exact_frame,
    format_values,
    readable_frame,
    scaled,
    significant,
    split_constant,
    to_csv,
    to_latex,
    to_markdown,
)

COLUMNS = (
    Column(key="label", heading="Network"),
    Column(key="has_crf", heading="CRF"),
    Column(key="miou", heading="mIoU", kind="percent"),
    Column(key="change", heading="Change", kind="change"),
    Column(key="num_params", heading="Parameters", kind="scaled"),
    Column(
        key="median_ms",
        second_key="p90_ms",
        heading="Latency",
        kind="number",
        unit="ms, median / p90",
    ),
)
RECORDS = [
    {
        "label": "deep_lab & co",
        "has_crf": False,
        "miou": 0.71234,
        "change": None,
        "num_params": 59_344_309,
        "median_ms": 12.3456,
        "p90_ms": 100.04,
    },
    {
        "label": "a|b",
        "has_crf": True,
        "miou": math.nan,
        "change": -0.001,
        "num_params": 346_234,
        "median_ms": None,
        "p90_ms": None,
    },
]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (59.344309, "59.34"),
        (0.346234, "0.3462"),
        (0.00001234567, "0.00001235"),
        (1234.5, "1234"),  # half to even, as Python rounds
        (123456.0, "123500"),
        (9.9996, "10.00"),
        (99999.0, "100000"),
        (-2.5, "-2.500"),
        (0, "0"),
        (7, "7.000"),
    ],
)
def test_significant_by_hand(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(59_344_309, "59.34 M"), (317_541_632_000, "317.5 G"), (999, "999.0"), (1500, "1.500 k")],
)
def test_scaled_by_hand(value, text):
    assert scaled(value) == text


def test_readable_by_hand():
    frame = readable_frame(RECORDS, COLUMNS)
    assert list(frame.columns) == [
        "Network",
        "CRF",
        "mIoU (%)",
        "Change (points)",
        "Parameters (M)",
        "Latency (ms, median / p90)",
    ]
    assert frame.values.tolist() == [
        ["deep_lab & co", "no", "71.23", "-", "59.34", "12.35 / 100.0"],
        ["a|b", "yes", "-", "-0.10", "0.3462", "-"],
    ]


def test_prefix_is_that_of_the_largest_value():
    column = Column(key="macs", heading="MACs", kind="scaled")
    assert format_values([2e9, 3e6], column) == ("G", ["2.000", "0.003000"])
    assert format_values([900.0, None], column) == ("", ["900.0", "-"])
    assert format_values([None], column) == ("", ["-"])


def test_csv_reads_back_exactly():
    records = [
        {**RECORDS[0], "miou": 1 / 3, "label": 'with "quotes", commas\nand a line'},
        {**RECORDS[0], "miou": 0.1 + 0.2, "num_params": None},
    ]
    read = list(csv.DictReader(io.StringIO(to_csv(records, COLUMNS))))
    assert list(read[0]) == [column.key for column in COLUMNS]
    assert [float(row["miou"]) for row in read] == [1 / 3, 0.1 + 0.2]  # bit for bit
    assert [row["label"] for row in read] == [record["label"] for record in records]
    assert [row["has_crf"] for row in read] == ["False", "False"]
    assert [row["num_params"] for row in read] == ["59344309", ""]


def test_csv_keeps_whole_numbers_whole():
    text = to_csv([{"n": 59_344_309}, {"n": None}], [Column(key="n", heading="n")])
    assert text == 'n\n59344309\n""\n'


def test_frame_takes_missing_fields_as_none():
    frame = exact_frame([{"label": "x"}], COLUMNS)
    assert frame.iloc[0].tolist() == ["x", None, None, None, None, None]


def test_markdown_has_one_cell_a_value():
    header, rule, *rows = to_markdown(RECORDS, COLUMNS).splitlines()
    assert len(rows) == 2
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert cells == ["deep_lab \\& co", "no", "71.23", "-", "59.34", "12.35 / 100.0"]
    assert "a\\|b" in rows[1]  # a bar inside a cell does not end it
    assert header.count("|") == rule.count("|") == 7
    alignments = rule.strip("|").split("|")
    assert alignments[0].startswith(":") and alignments[2].endswith(":")


def test_latex_table_by_hand():
    text = to_latex(RECORDS, COLUMNS, caption="100 % of a_b")
    assert "\\caption{100 \\% of a\\_b}" in text
    assert "Network & CRF & mIoU (\\%) & Change (points) & Parameters (M) &" in text
    assert "deep\\_lab \\& co & no & 71.23 & - & 59.34 & 12.35 / 100.0 \\\\" in text
    assert "\\begin{tabular}{llrrrr}" in text
    for environment in ("table", "tabular"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}") == 1
    assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")


def test_split_constant_by_hand():
    columns = [Column(key=key, heading=key) for key in ("same", "differs", "gap", "empty")]
    records = [
        {"same": 1, "differs": 1, "gap": 5, "empty": None},
        {"same": 1, "differs": 2, "gap": None, "empty": math.nan},
    ]
    varying, constant = split_constant(records, columns)
    assert [column.key for column in varying] == ["differs"]
    assert [column.key for column in constant] == ["same", "gap"]
