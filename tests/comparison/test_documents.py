"""Every row and every warning reaches the reader, in each of the formats."""

import re
from dataclasses import replace

import numpy as np
import pytest

from autoseg.comparison.documents import (
    Comparison,
    comparison_latex,
    comparison_markdown,
    group_table_markdown,
)
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.comparison.rows import BorderResult
from autoseg.metrics import CalibrationResult, Confused
from autoseg.metrics.calibration import mean_calibration
from autoseg.reporting.reliability import RELIABILITY_GID, draw_reliability
from tests.comparison.rows import network


def comparison(*networks, left_out=()):
    return Comparison(
        groups=tuple(group_networks(networks)),
        left_out=left_out,
        protocol={"Command": "python -m autoseg.compare", "Commit": "abc"},
    )


ONE_GROUP = comparison(
    network(label="searched", miou=0.5, crf_miou=0.48, notes=("thop failed: KeyError: x.",)),
    network(label="icnet", miou=0.4, run="runs/b", seed=1),
    network(label="untrained", miou=None, run=None, seed=None, num_images=None, class_iou=None),
)
TWO_GROUPS = comparison(network(label="here"), network(label="there", dataset="camvid"))


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def table_of(markdown):
    header, _, *rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [dict(zip(cells(header), cells(row), strict=True)) for row in rows]


def test_table_by_hand():
    rows = table_of(group_table_markdown(ONE_GROUP.groups[0]))
    assert [(row["Network"], row["CRF"], row["mIoU (%)"]) for row in rows] == [
        ("searched", "no", "50.00"),
        ("searched", "yes", "48.00"),
        ("icnet", "no", "40.00"),
        ("untrained", "no", "-"),
    ]
    assert [row["Change by CRF (points)"] for row in rows] == ["-", "-2.00", "-", "-"]
    assert rows[1]["of both (ms, median / p90)"] == "61.00 / 66.00"
    assert rows[0]["of CRF (ms, median / p90)"] == "-"
    assert rows[0]["Parameters (M)"] == "1.235"
    assert rows[0]["MACs (G)"] == "2.000"
    assert rows[0]["by fvcore (G)"] == "2.100"
    assert "by thop" not in " ".join(rows[0])  # failed everywhere: a note says so instead


def test_a_time_that_did_not_settle_says_so_in_its_row():
    both = network(label="a", crf_miou=0.4)
    rows = (both.rows[0], replace(both.rows[1], is_total_latency_settled=False))
    given = comparison(replace(both, rows=rows))
    plain, refined = table_of(group_table_markdown(given.groups[0]))
    assert refined["of both (ms, median / p90)"] == "61.00 / 66.00, unsettled"
    assert plain["of both (ms, median / p90)"] == "10.00 / 12.00"
    assert "<td>61.00 / 66.00, unsettled</td>" in comparison_page(given)
    assert "61.00 / 66.00, unsettled" in comparison_latex(given)


def test_what_all_rows_share_is_told_once():
    text = group_table_markdown(ONE_GROUP.groups[0])
    shared = text.splitlines()[0]
    assert "images scored 64" in shared and "threads 2" in shared and "classes averaged 2" in shared
    assert "Dense CRF: bilateral_weight 4.0, num_iterations 10." in shared
    assert "seed" not in shared  # it differs
    assert "Classes averaged" not in text


def test_classes_averaged_become_a_column_if_they_differ():
    groups = comparison(network(num_averaged=2), network(label="b", num_averaged=1)).groups
    rows = table_of(group_table_markdown(groups[0]))
    assert [row["Classes averaged"] for row in rows] == ["2", "1"]
    assert "classes averaged" not in group_table_markdown(groups[0]).splitlines()[0]


def test_markdown_says_all():
    text = comparison_markdown(ONE_GROUP)
    for part in (
        "## synthetic val, 2 classes, images 96 x 128",
        "- searched: thop failed: KeyError: x.",
        "runs/b",
        "0123456789ab",
        "- Command: python -m autoseg.compare",
        "FLOPs are twice that",
    ):
        assert part in text
    assert "0123456789abc" not in text  # the checksum is cut
    assert "Not everything" not in text
    assert "Left out" not in text


@pytest.mark.parametrize("write", [comparison_markdown, comparison_latex, comparison_page])
def test_groups_never_share_a_table(write):
    text = write(TWO_GROUPS)
    tables = re.split(r"## |\\begin\{table\}|<section id=.g", text)
    assert any("here" in table for table in tables)
    for table in tables[1:]:  # before the first one stands the warning alone
        assert not ("camvid" in table and "synthetic" in table)
        assert not (re.search(r"\bhere\b", table) and re.search(r"\bthere\b", table))


def test_the_reader_is_warned_of_several_groups():
    warning = (
        "there are 2 tables, one for each of synthetic val, 2 classes, images 96 x 128; "
        "camvid val, 2 classes, images 96 x 128"
    )
    assert warning in comparison_markdown(TWO_GROUPS)
    assert warning in comparison_page(TWO_GROUPS)
    assert ONE_GROUP.warning is None


def test_borders_have_a_table_where_they_were_scored():
    def border(key, mean):
        return BorderResult(key=key, heading=key.upper(), mean=mean, by_class=(0.1, 0.2))

    row = (border("a", 0.25), border("b", None))
    scored = replace(network(label="searched", crf_miou=0.4), borders=(row, row))
    text = comparison_markdown(comparison(scored, network(label="icnet")))
    at = [line for line in text.splitlines() if line.startswith("|") and "25.00" in line]
    assert [cells(line) for line in at] == [
        ["searched", "50.00", "25.00"],  # nothing has a value for b
        ["searched + CRF", "40.00", "25.00"],
    ]
    page = comparison_page(comparison(scored))
    assert "At borders" in page and '"key":"a"' in page  # an axis of the chart
    assert "At borders" not in comparison_page(ONE_GROUP)


def test_calibration_and_confusions_have_tables_where_they_were_asked_for():
    bins = ((10, 0.55, 0.5), (0, float("nan"), float("nan")), (30, 0.95, 0.9))
    result = CalibrationResult(error=0.05, confidence=0.85, accuracy=0.8, bins=bins)
    asked = replace(
        network(label="a"),
        calibration=(result,),
        confusions=((Confused(true=0, predicted=1, share=0.25),),),
    )
    told = comparison_markdown(comparison(asked, network(label="b")))
    lines = [cells(line) for line in told.splitlines() if line.startswith("| a ")]
    assert ["a", "5.00", "85.00", "80.00"] in lines
    assert ["a", "road", "sky", "25.00"] in lines
    page = comparison_page(comparison(asked))
    assert "<caption>Calibration</caption>" in page and "<caption>Confusions</caption>" in page
    assert 'alt="right pixels by the probability of the predicted class"' in page
    assert "<caption>Calibration</caption>" not in comparison_page(ONE_GROUP)
    few = (1, 0.2, 1.0)  # of more than a thousand pixels
    (line,) = draw_reliability({"a": ((1000, 0.55, 0.5), few, (3000, 0.95, 0.9))}).findobj(
        lambda artist: artist.get_gid() == f"{RELIABILITY_GID}-0"
    )
    assert line.get_xydata() == pytest.approx(np.array([[55, 50], [95, 90]]))
    figure = draw_reliability({f"icnet {number}": ((9, 0.5, 0.5),) for number in range(6)})
    lines = figure.axes[0].get_lines()[1:]  # behind the diagonal
    assert len({line.get_color() for line in lines}) == 1
    assert len({str(line._dash_pattern) for line in lines}) == 6
    other = replace(result, error=0.15, bins=((30, 0.51, 0.1), *bins[1:]))
    pooled = mean_calibration([result, other])
    assert pooled.error == pytest.approx(0.1)
    assert pooled.bins[0] == pytest.approx((40, 0.52, 0.2)) and pooled.bins[1][0] == 0


def test_left_out_runs_are_told():
    text = comparison(network(), left_out=("runs/x: not finished",))
    assert "## Left out\n\n- runs/x: not finished" in comparison_markdown(text)
    assert "runs/x: not finished" in comparison_page(text)


def test_page_has_every_row_and_no_address():
    page = comparison_page(ONE_GROUP)
    for label, miou in (("searched", "50.00"), ("searched", "48.00"), ("icnet", "40.00")):
        assert re.search(rf">{label}</a></th><td class=.words.>(yes|no)</td><td>{miou}</td>", page)
    assert '<th scope="col" class="words">Run</th>' in page
    assert re.search(r">untrained</a></th><td class=.words.>no</td><td>-</td>", page)
    assert not re.search(r"https?:|//", page)
    # IoU by class, in percent, of every scored row; what the CRF changes, of every network.
    assert page.count('<th scope="col">searched</th>') == 2
    assert page.count('<th scope="col">searched + CRF</th>') == 1
    assert re.search(r">road</th>(<td [^>]*>25\.0</td>){3}</tr>", page)


def test_page_without_scores_has_no_class_table():
    page = comparison_page(comparison(network(miou=None, class_iou=None)))
    assert "IoU of each class" not in page
    assert "<img" not in page


def test_latex_has_one_table_a_group():
    assert comparison_latex(ONE_GROUP).count("\\begin{tabular}") == 1
    assert comparison_latex(TWO_GROUPS).count("\\begin{tabular}") == 2


def test_the_chart_ranks_no_doubtful_score_and_no_unsettled_time():
    unranked = [
        re.findall(r'"unranked":(\[.*?\])', comparison_page(comparison(each)))
        for each in (
            network(crf_miou=0.4),
            network(notes=("doubtful: it predicts road for every pixel.",)),
            network(is_total_latency_settled=False),
        )
    ]
    assert unranked == [["[]", '["macs","params"]'], ['["miou"]'], ['["latency"]']]
