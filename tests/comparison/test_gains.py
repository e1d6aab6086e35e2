"""What the CRF gains is the difference of its two rows, counted by hand."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from autoseg.comparison.documents import Comparison, comparison_markdown, gain_table, gains_of
from autoseg.comparison.evidence import Evidence
from autoseg.comparison.gains import crf_gains, view_gains
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.comparison.rows import BorderResult
from autoseg.comparison.verdict import verdict
from tests.comparison.rows import network


def border(*by_class):
    return BorderResult(key="b", heading="B", mean=float(np.nanmean(by_class)), by_class=by_class)


def refined(label, before, after, *, ms=(10.0, 14.0), borders=(), images=(), **changes):
    """A network whose classes have the IoU `before` without the CRF and `after` with it."""
    mious = float(np.nanmean(before)), float(np.nanmean(after))
    made = network(label=label, miou=mious[0], crf_miou=mious[1], **changes)
    rows = [replace(r, total_latency_median_ms=t) for r, t in zip(made.rows, ms, strict=True)]
    return replace(
        made,
        rows=tuple(rows),
        class_iou=(before, after),
        borders=borders,
        evidence=tuple(Evidence(image_overlaps=each, shown=()) for each in images),
    )


def group_of(*networks):
    (group,) = group_networks(networks)
    return group


def test_a_gain_by_hand():
    nan = math.nan
    made = refined(
        "a", (0.25, 0.75), (0.375, 0.6875), ms=(10.0, 14.0),
        borders=((border(0.5, nan),), (border(0.25, nan),)),
    )  # fmt: skip
    (gain,) = crf_gains(group_of(made, network(label="without", miou=0.1)))
    assert (gain.label, gain.miou, gain.added_ms) == ("a", 0.03125, 4.0)
    assert gain.points_per_ms == 3.125 / 4
    assert gain.classes == (0.125, -0.0625) and (gain.num_better, gain.num_worse) == (1, 1)
    assert (gain.low, gain.high) == (None, None)  # nothing is known of single images
    (change,) = gain.borders
    assert change.mean == -0.25
    assert change.by_class[0] == -0.25 and math.isnan(change.by_class[1])


def test_a_class_that_does_not_occur_is_neither_better_nor_worse():
    (gain,) = crf_gains(group_of(refined("a", (0.5, math.nan), (0.5, math.nan))))
    assert (gain.num_better, gain.num_worse, gain.miou) == (0, 0, 0.0)


@pytest.mark.parametrize(("ms", "rate"), [((10.0, 10.0), None), ((10.0, 9.0), None)])
def test_no_time_added_no_rate(ms, rate):
    (gain,) = crf_gains(group_of(refined("a", (0.2, 0.4), (0.3, 0.5), ms=ms)))
    assert gain.points_per_ms is rate


def test_the_table_and_the_page_show_signs():
    group = group_of(
        refined("a", (0.25, 0.75), (0.375, 0.6875)),
        refined("b", (0.25, 0.75), (0.25, 0.5), is_total_latency_settled=False),
    )
    assert list(gains_of(group)) == ["What the CRF gains"]
    records, columns = gain_table(gains_of(group)["What the CRF gains"])
    assert [column.key for column in columns] == [
        *("label", "miou", "added_ms", "points_per_ms", "num_better", "num_worse")
    ]
    comparison = Comparison(groups=(group,), left_out=(), protocol={})
    lines = [line for line in comparison_markdown(comparison).splitlines() if "points_per" in line]
    assert not lines and len(records) == 2
    rows = re.findall(r"^\| [ab] .*", comparison_markdown(comparison), flags=re.MULTILINE)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert ["a", "+3.12", "4.000", "0.7812", "1", "1"] in cells
    assert ["b", "-12.50", "4.000, unsettled", "-3.125", "0", "1"] in cells
    page = comparison_page(comparison)
    assert re.findall(r'<td class="heat fall" style="--share: ([\d.]+)">(.*?)<', page) == [
        ("0.62", "-6.2"),  # sky by a: 6.25 of the 10 points that are deepest
        ("1.00", "-25.0"),
    ]
    assert '<td class="heat" style="--share: 1.00">+12.5<' in page


def images(hits, *, num_images=12):
    """Images of two classes, 100 pixels each, of which `hits` are right."""
    right = np.array([[hits - i % 3, hits + i % 3] for i in range(num_images)])
    wrong = 200 - right.sum(axis=1, keepdims=True)
    return np.stack([right, right + wrong], axis=1)


def test_the_verdict_says_what_a_millisecond_brings_and_what_is_more_than_chance():
    up = refined("up", (0.3, 0.3), (0.5, 0.5), ms=(5.0, 15.0), images=(images(50), images(70)))
    down = refined("down", (0.5, 0.5), (0.3, 0.3), ms=(5.0, 9.0), images=(images(70), images(50)))
    same = refined("same", (0.4, 0.4), (0.4, 0.4), images=(images(60), images(60)))
    (told,) = [line for line in verdict(group_of(up, down, same)) if line.startswith("The CRF")]
    assert told == (
        "The CRF changes the mIoU by +20.00 points (up) to -20.00 points (down); a millisecond "
        "more brings -5.0 to 2.0 points. More than the choice of images explains: better for 1 of "
        "3 networks, worse for 1."
    )
    doubtful = refined("a", (0.3, 0.3), (0.5, 0.5), notes=("doubtful: dull.",))
    assert not [line for line in verdict(group_of(doubtful)) if line.startswith("The CRF")]
    (told,) = [line for line in verdict(group_of(up)) if line.startswith("The CRF")]
    assert told.startswith("The CRF changes the mIoU by +20.00 points (up); a millisecond more ")


def test_views_are_compared_with_the_same_training_and_form_alone():
    def seen(label, miou, ms, **changes):
        iou = (miou, miou)
        made = network(label=label, miou=miou, class_iou=iou, network="unet", **changes)
        return replace(made, rows=(replace(made.rows[0], total_latency_median_ms=ms),))

    group = group_of(
        seen("unet", 0.25, 10.0),
        seen("unet (flip)", 0.375, 20.0, views="flip"),
        seen("unet (onnxruntime)", 0.25, 2.0, backend="onnxruntime"),
        seen("unet (onnxruntime; flip)", 0.5, 4.0, views="flip", backend="onnxruntime"),
        seen("other (flip)", 0.9, 1.0, views="flip", run="runs/other"),
    )
    found = {gain.label: (gain.miou, gain.added_ms) for gain in view_gains(group)}
    assert found == {"unet (flip)": (0.125, 10.0), "unet (onnxruntime; flip)": (0.25, 2.0)}
    assert crf_gains(group) == []
    told = " ".join(verdict(group))
    assert "Several views change the mIoU by +25.00 points (unet (onnxruntime; flip)) to" in told
    page = comparison_page(Comparison(groups=(group,), left_out=(), protocol={}))
    assert "What several views gain: IoU of each class (points)" in page
