"""Trainings that differ by their seed alone are one row, and nothing of them is lost."""

import json
import re
from dataclasses import replace
from statistics import mean, stdev

import numpy as np
import pytest

from autoseg.comparison.columns import CSV_COLUMNS
from autoseg.comparison.documents import Comparison, comparison_markdown, group_table_markdown
from autoseg.comparison.evidence import Evidence
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.comparison.rows import BorderResult
from autoseg.comparison.writing import comparison_record
from autoseg.reporting.tables import to_csv
from tests.comparison.rows import network

MIOUS = {3: 0.50, 1: 0.40, 2: 0.45}


def training(seed, miou, **changes):
    made = network(
        label="unet x0.125",
        seed=seed,
        miou=miou,
        crf_miou=miou + 0.01 * seed,
        class_iou=(miou, float("nan") if seed == 1 else 2 * miou),
        run=f"runs/{seed}",
        training_sha256="t",
        total_latency_median_ms=10.0 * seed,
        notes=("thop failed.", f"started from the weights in {seed}."),
        **changes,
    )
    border = BorderResult(key="b", heading="B", mean=miou / 2, by_class=(miou, miou))
    evidence = Evidence(image_overlaps=np.full((12, 2, 2), seed), shown=(np.full((2, 2), seed),))
    return replace(made, borders=((border,),) * 2, evidence=(evidence,) * 2)


@pytest.fixture(scope="module")
def group():
    trainings = [training(seed, miou) for seed, miou in MIOUS.items()]
    (found,) = group_networks([trainings[0], network(label="other", seed=1), *trainings[1:]])
    return found


def test_scores_are_means_and_the_deviation_is_of_the_sample(group):
    assert [each.rows[0].label for each in group.networks] == ["other", "unet x0.125"]
    joined = group.networks[1]
    plain, refined = joined.rows
    assert plain.miou == pytest.approx(mean(MIOUS.values()))
    assert plain.miou_deviation == pytest.approx(stdev(MIOUS.values()))
    assert (plain.num_seeds, plain.seed, plain.run) == (3, None, None)
    assert (plain.seeds, plain.seed_mious) == ((1, 2, 3), (0.40, 0.45, 0.50))
    assert refined.miou == pytest.approx(0.47) and refined.miou_change == pytest.approx(0.02)
    assert joined.class_iou[0] == pytest.approx((0.45, 0.95))  # of the two that have the class
    assert joined.borders[0][0].mean == pytest.approx(0.225)
    assert [images.flat[0] for images in joined.image_overlaps(1)] == [1, 2, 3]


def test_times_are_of_the_middle_settled_training_and_pictures_of_the_middle_score(group):
    assert group.networks[1].rows[0].total_latency_median_ms == 20.0
    assert group.networks[1].evidence[0].shown[0][0, 0] == 2
    assert group.networks[1].notes == (
        "thop failed.",
        *(f"seed {seed}: started from the weights in {seed}." for seed in (1, 2, 3)),
        "mean of the trainings with seeds 1, 2, 3; times are those of seed 2, and pictures and "
        "confusions of seed 2, which lie in the middle.",
    )
    unsettled = [
        replace(
            each,
            rows=tuple(replace(row, is_total_latency_settled=row.seed == 3) for row in each.rows),
        )
        for each in (training(seed, 0.5) for seed in (1, 2, 3))
    ]
    ((joined,),) = (each.networks for each in group_networks(unsettled))
    assert joined.rows[0].total_latency_median_ms == 30.0


@pytest.mark.parametrize(
    "second",
    [
        {"seed": 1},  # the same training again is no second sample
        {"seed": 2, "training_sha256": "u"},  # another recipe, network or images
        {"seed": 2, "training_sha256": None},  # a record that does not say
        {"seed": 2, "split": "test"},
        {"seed": 2, "weights": "last"},
    ],
)
def test_what_is_no_other_seed_of_the_same_stays_apart(second):
    first = network(seed=1, training_sha256="t")
    groups = group_networks([first, network(**{"training_sha256": "t", **second})])
    assert sum(len(each.networks) for each in groups) == 2


@pytest.mark.parametrize(("num_steps", "told"), [((400, 400), 400), ((400, 390), None)])
def test_steps_are_told_where_all_seeds_made_as_many(num_steps, told):
    seeds = [
        network(seed=seed, training_sha256="t", num_steps=each)
        for seed, each in enumerate(num_steps)
    ]
    ((joined,),) = (group.networks for group in group_networks(seeds))
    assert (joined.rows[0].num_seeds, joined.rows[0].num_steps) == (2, told)


def test_doubt_of_most_seeds_is_doubt_of_the_row():
    def notes(*doubted, advice=""):
        trainings = [
            network(
                seed=s,
                training_sha256="t",
                notes=(f"doubtful: {s} is dull{advice}.",) * (s in doubted),
            )
            for s in range(3)
        ]
        ((joined,),) = (each.networks for each in group_networks(trainings))
        return joined.notes[:-1]

    assert notes(0) == ("seed 0: doubtful: 0 is dull.",)
    assert notes(0, 2) == ("doubtful: seed 0: 0 is dull. seed 2: 2 is dull.",)
    assert notes(0, 2, advice="; train longer") == (
        "doubtful: seed 0: 0 is dull; seed 2: 2 is dull; train longer.",
    )


def test_every_document_shows_the_row_and_its_seeds(group):
    table = group_table_markdown(group)
    heading, _, other, plain, _ = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    assert heading[2:5] == ["mIoU (%)", "Deviation over seeds (%)", "Seeds"]
    assert (other[2:5], plain[2:5]) == (["50.00", "-", "1"], ["45.00", "5.00", "3"])
    assert "seed 1" not in table.splitlines()[0]  # not what all trainings share
    comparison = Comparison(groups=(group,), left_out=(), protocol={})
    text = comparison_markdown(comparison)
    for seed, miou in MIOUS.items():
        line = next(line for line in text.splitlines() if f"runs/{seed}" in line)
        assert f"{100 * miou:.2f}" in line and f"{100 * miou + seed:.2f}" in line
    row = to_csv(group.records, CSV_COLUMNS).splitlines()[2]
    assert ",1 2 3,0.4 0.45 0.5,t," in row
    stored = comparison_record(comparison)["groups"][0]["networks"][1]
    assert [member["rows"][0]["miou"] for member in stored["members"]] == [0.40, 0.45, 0.50]
    assert "shown" not in json.dumps(stored)
    page = comparison_page(comparison)
    spread = re.search(r'"spreads":\{"miou":([\d.]+)\}', page)
    assert spread is not None and float(spread[1]) == pytest.approx(5)
    assert "mIoU of seed 3 (%): 50.00" in page
