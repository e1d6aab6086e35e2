"""Rows of another machine stand beside the others, and are never ranked with them by time."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from autoseg.comparison.columns import CSV_COLUMNS
from autoseg.comparison.documents import Comparison, comparison_markdown, stage_tables
from autoseg.comparison.earlier import earlier_networks
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.comparison.rows import BorderResult
from autoseg.comparison.verdict import verdict
from autoseg.comparison.writing import comparison_record
from autoseg.errors import FileError
from autoseg.reporting import draw_pareto
from autoseg.reporting.tables import to_csv
from tests.comparison.rows import network
from tests.fuzzing import as_json, damaged_json, require_clean_refusals

FAST = {"processor": "NVIDIA H100", "device": "cuda", "total_latency_median_ms": 0.5}


@pytest.fixture(scope="module")
def group():
    networks = [
        network(label="there", miou=0.7, crf_miou=0.6, **FAST),
        network(label="here", miou=0.5, crf_miou=0.6),
        network(label="here too", miou=0.4, total_latency_median_ms=5.0),
    ]
    (found,) = group_networks(networks)
    return found


def test_the_table_is_that_of_the_machine_of_most_rows(group):
    assert [each.rows[0].measured_elsewhere for each in group.networks] == [True, False, False]
    assert group.machine == "some processor (cpu, 2 threads, torch 2.11.0)"
    elsewhere, home = group.records[0], group.records[2]
    blank = {name for name, value in elsewhere.items() if value is None} - {
        name for name, value in home.items() if value is None
    }
    assert blank == {
        *("forward_latency_median_ms", "finish_latency_median_ms", "latency_median_ms"),
        *("latency_p90_ms", "is_latency_settled", "total_latency_median_ms"),
        *("total_latency_low_ms", "total_latency_high_ms", "total_latency_p90_ms"),
        *("total_latency_p99_ms", "num_timed_runs", "is_total_latency_settled", "memory_mib"),
        "total_latency_quantiles_ms",
    }
    assert (elsewhere["miou"], elsewhere["macs"]) == (0.7, home["macs"])


@pytest.mark.parametrize(
    "other", [{"processor": "x"}, {"device": "cuda"}, {"num_threads": 1}, {"torch_version": "3"}]
)
def test_each_part_of_a_machine_counts(other):
    (found,) = group_networks([network(label="a"), network(label="b", **other)])
    assert [each.rows[0].measured_elsewhere for each in found.networks] == [False, True]


def test_no_document_ranks_its_time(group):
    told = " ".join(verdict(group))
    assert "Most accurate: there, mIoU 70.00 % at 0.5000 ms on another machine and" in told
    by_latency = re.search(r"By latency: (.*?)\.(?= )", told)
    assert by_latency is not None and "there" not in by_latency[1]
    assert "Not ranked by latency, for another machine measured them: there, there + CRF." in told
    assert "from 2.000 G on there (70.00 %)" in told  # MACs are the same everywhere
    rows = list(csv.DictReader(io.StringIO(to_csv(group.records, CSV_COLUMNS))))
    assert [row["total_latency_median_ms"] for row in rows if row["label"] == "there"] == ["", ""]
    page = comparison_page(Comparison(groups=(group,), left_out=(), protocol={}))
    chart = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])
    assert [point["values"]["latency"] for point in chart["points"]] == [None, None, 10, 61, 5]
    assert [point["values"]["memory"] for point in chart["points"]][:2] == [None, None]
    times = draw_pareto(group.records).axes[1]
    assert {text.get_text() for text in times.texts} == {"here", "here too"}


def test_its_times_stand_in_a_table_of_their_own_with_the_reason(group):
    (_, home, _), (caption, away, columns) = stage_tables(group)
    assert [record["name"] for record in home] == ["here", "here + CRF", "here too"]
    assert [record["name"] for record in away] == ["there", "there + CRF"]
    assert "total_latency_median_ms" in {column.key for column in columns}
    assert caption == "Latency by stage, on NVIDIA H100 (cuda, 2 threads, torch 2.11.0)"
    text = comparison_markdown(Comparison(groups=(group,), left_out=(), protocol={}))
    assert f"\n\n{caption}:\n\n|" in text.replace("\\", "")
    assert "there: measured on NVIDIA H100 (cuda, 2 threads, torch 2.11.0), not on some" in text


def stored(networks, folder):
    groups = tuple(group_networks(networks))
    record = comparison_record(Comparison(groups=groups, left_out=(), protocol={}))
    (folder / "compare.json").write_text(json.dumps(record))
    return folder / "compare.json", record


@pytest.fixture
def rich():
    border = BorderResult(key="b", heading="B", mean=None, by_class=(0.5, float("nan")))
    seeds = [network(label="s", seed=seed, training_sha256="t") for seed in (0, 1)]
    ious = (0.5, float("nan"))
    return [
        replace(network(label="a", crf_miou=0.4), borders=((border,),) * 2, notes=("n",)),
        *seeds,
        network(label="b", class_iou=ious, miou=0.3),
        network(label="c", miou=None, class_iou=None),
    ]


def test_a_record_gives_the_same_rows_again(rich, tmp_path):
    path, _ = stored(rich, tmp_path)
    read = earlier_networks(path)
    expected = [replace(each, is_earlier=True) for each in rich]
    assert repr(sorted(read, key=repr)) == repr(sorted(expected, key=repr))  # nan equals nothing
    more = network(label="s", seed=2, training_sha256="t")
    joined = [each for group in group_networks([more, *read]) for each in group.networks]
    assert max(each.rows[0].num_seeds for each in joined) == 3
    assert [each.rows[0].num_seeds for each in joined if not each.is_earlier] == [3]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"split": "val"}, ("best", True)),
        ({"split": "test"}, ("best", False)),
        ({"num_seeds": None}, (None, None)),
    ],
)
def test_a_record_of_before_there_was_a_choice_took_the_best_weights(tmp_path, row, told):
    path, record = stored([network(**row)], tmp_path)
    (stored_row,) = record["groups"][0]["networks"][0]["rows"]
    del stored_row["weights"], stored_row["is_chosen_on_split"]
    path.write_text(json.dumps(record))
    (read,) = earlier_networks(path)
    assert (read.rows[0].weights, read.rows[0].is_chosen_on_split) == told


@pytest.mark.fuzz
def test_other_files_are_refused(rich, memory_folder):
    path, record = stored(rich, memory_folder)
    for change, message in (
        ({"format": "x"}, r"compare\.json is no comparison's record: its format is not"),
        ({"format_version": 1}, r"has format version 1, and this autoseg reads 2: compare again"),
    ):
        path.write_text(json.dumps({**record, **change}))
        with pytest.raises(FileError, match=message):
            earlier_networks(path)
    head = {"format": "autoseg-comparison", "format_version": 2}
    contents = damaged_json(record["groups"]).map(lambda each: as_json({**head, "groups": each}))
    require_clean_refusals(earlier_networks, path, contents)
