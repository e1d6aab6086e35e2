"""NSGA-II as a strategy: what it minimises, and what it keeps."""

import dataclasses

import pytest

from autoseg.architecture import Architecture
from autoseg.cost import count_macs
from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.networks.weightless import weightless
from autoseg.strategies.costs import networks_of
from autoseg.strategies.nsga2_search import NSGA2Search
from tests.pricing.enumeration import table_of
from tests.strategies.contract import run_search, task_of
from tests.strategies.test_estimator import drawn
from tests.training.test_loop import metrics


def with_table(name, **changes):
    """A task that weighs mIoU against the latency of a made-up table."""
    task = task_of(name, **{"front_cost": "latency", **changes})
    return dataclasses.replace(task, latency_table=table_of(networks_of(task)))


def searched(*samples, task=None):
    """A search that has scored architectures by hand: (score, cost) each."""
    search = NSGA2Search(task or task_of("nsga2"))
    for seed, scores in enumerate(samples):
        search.study.add(drawn(seed), scores, failure="NaN" if scores is None else None)
    return search


def test_the_front_is_what_no_other_sample_beats():
    search = searched((0.5, 9), (0.3, 2), None, (0.5, 7), (0.2, 3), (0.5, 7), (0.1, 1))
    front = [(trial.number, trial.scores) for trial in search.front()]
    assert front == [(6, (0.1, 1)), (1, (0.3, 2)), (3, (0.5, 7))]
    # By the definition, over all pairs.
    scored = [trial for trial in search.study.trials if trial.scores is not None]
    unbeaten = {
        trial.scores
        for trial in scored
        if not any(
            other.scores[0] >= trial.scores[0]
            and other.scores[1] <= trial.scores[1]
            and other.scores != trial.scores
            for other in scored
        )
    }
    assert {scores for _, scores in front} == unbeaten


def test_the_result_is_the_best_and_the_front_is_told_and_kept():
    search = searched((0.5, 9e6), (0.3, 2e6), (0.5, 7e6))
    assert search.decode() == drawn(2)
    report = search.report()
    assert report.results["front"] == [
        {"sample": 2, "score": 0.3, "macs": 2_000_000},
        {"sample": 3, "score": 0.5, "macs": 7_000_000},
    ]
    assert report.text.endswith(
        "- sample 2: mIoU 0.3000, 2.0 M MACs\n- sample 3: mIoU 0.5000, 7.0 M MACs"
    )


def test_the_costs_are_the_macs_that_a_limit_is_compared_with():
    search, architecture = searched(), drawn(3)
    with weightless():
        network = build_network(architecture, num_classes=12, width=1.0, filter_multiplier=20)
    assert search.costs(architecture) == {"macs": count_macs(network, (48, 48)).macs}
    search.study.add(architecture, (0.5, 1e6))
    search.study.add(drawn(4), (0.4, 2e6))
    assert (
        "No other sample beats these in both mIoU and MACs (one image of 48 x 48, 12 classes, "
        "F = 20, width 1); the last is the result"
    ) in search.report().text


def test_by_latency_what_the_table_predicts_decides(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.strategies.contract.task_of", with_table)
    result = run_search("nsga2", tmp_path / "run")
    prices = with_table("nsga2").latency_table.prices()
    lines = metrics(tmp_path / "run")
    found = [Architecture.from_dict(line["architecture"]) for line in lines]
    assert [line["latency_ms"] for line in lines] == [prices.cost(each) / 1e6 for each in found]
    assert len(found) == 3 and all("macs" not in line for line in lines)
    # By the definition, over all pairs: nothing has a score as high in less time.
    points = [(line["score"], line["latency_ms"]) for line in lines]
    front = {
        i + 1
        for i, (score, ms) in enumerate(points)
        if not any(s >= score and t <= ms and (s, t) != (score, ms) for s, t in points)
    }
    told = {each["sample"]: each["latency_ms"] for each in result.report.results["front"]}
    assert told == {sample: points[sample - 1][1] for sample in front}
    assert "No other sample beats these in both mIoU and latency by the table" in result.report.text


def test_of_equal_scores_the_fastest_is_kept_and_told_in_milliseconds():
    search = searched((0.5, 9.25), (0.5, 4.125), (0.3, 2.0), task=with_table("nsga2"))
    assert search.decode() == drawn(1)
    assert search.report().text.endswith(
        "- sample 3: mIoU 0.3000, 2.00 ms\n- sample 2: mIoU 0.5000, 4.12 ms"
    )


def test_latency_without_a_table_is_refused():
    with pytest.raises(UsageError, match="front of latency needs the times of the networks' parts"):
        NSGA2Search.check(task_of("nsga2", front_cost="latency"))


def test_a_population_of_one_is_refused():
    with pytest.raises(UsageError, match="population_size = 1, but NSGA-II crosses two"):
        NSGA2Search.check(task_of("nsga2", population_size=1))
