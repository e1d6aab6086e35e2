"""The benchmark of the CRF at tiny sizes: its numbers by other roads, its refusals, its files."""

import csv
import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.crf import DenseCRF
from autoseg.errors import UsageError

TINY = [
    *("--cases", "small", "--parameters", "readme", "--iterations", "2", "--threads", "1"),
    *("--repeats", "2", "--num-images", "2", "--accuracy-size", "14", "18"),
    *("--methods", "fast-torch", "exact"),
]


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmark by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    monkeypatch.delenv("AUTOSEG_DATA", raising=False)
    return importlib.import_module


@pytest.fixture(autouse=True)
def _keep_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny_case(module, monkeypatch):
    setting = module("crf_cost.setting")
    case = replace(setting.CASES["small"], height=20, width=26)
    monkeypatch.setitem(setting.CASES, "small", case)
    return case


def test_tables_records_and_figure(module, tiny_case, tmp_path, capsys):
    arguments = [*TINY, "--measure", "time", "accuracy", "--out", str(tmp_path)]
    assert module("crf").main(arguments) == 0
    with (tmp_path / "crf.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["fast-torch", "exact"]
    for row in rows:
        assert (row["case"], row["height"], row["num_iterations"]) == ("small", "20", "2")
        assert 0 < float(row["min_ms"]) <= float(row["median_ms"]) <= float(row["max_ms"])
        assert row["num_repeats"] == "2"
        assert row["speedup"] == row["memory_mib"] == row["failure"] == ""
    with (tmp_path / "crf_accuracy.csv").open(newline="") as file:
        accuracy = list(csv.DictReader(file))
    assert len(accuracy) == 2 * (2 + 1)  # two parameter sets; two images and the pooled row
    for name in ("readme", "deeplab"):
        *images, pooled = [float(r["mean_error"]) for r in accuracy if r["parameters"] == name]
        assert pooled == pytest.approx(sum(images) / 2)  # images of one size
    record = json.loads((tmp_path / "crf.json").read_text())
    assert record["is_real"] is False
    assert len(record["costs"]) == 2 and len(record["accuracy"]) == 6
    text = (tmp_path / "crf.md").read_text()
    assert "drawn by the embedded dataset, not photographs" in text
    assert "python benchmarks/crf.py --cases small" in text
    assert (tmp_path / "crf.png").stat().st_size > 5000
    assert "| fast-torch" in capsys.readouterr().out


def test_errors_are_those_of_the_crf_itself(module):
    scenes = module("crf_cost.scenes")
    accuracy = module("crf_cost.accuracy")
    dataset = scenes.open_dataset(None, use_camvid=False)
    chosen = scenes.crops(dataset, 2, (12, 17))
    rows = accuracy.measure_accuracy(
        chosen, ["fast-torch", "exact"], device="cpu", convcrf=None, on_run=lambda _: None
    )
    settings = {
        "bilateral_weight": 10.0,
        "bilateral_xy_std": 80.0,
        "bilateral_rgb_std": 13.0,
        "spatial_weight": 3.0,
        "spatial_xy_std": 3.0,
        "num_iterations": 5,
    }
    errors, others = [], []
    for scene in chosen:
        q = [
            DenseCRF(**settings, mode=mode)(scene.probabilities.log()[None], scene.image[None])
            for mode in ("fast", "exact")
        ]
        errors.append((q[0] - q[1]).abs().detach().numpy())
        others.append((q[0].argmax(1) != q[1].argmax(1)).double().mean().item())
    pooled = next(row for row in rows if row.image == "all" and row.parameters == "readme")
    # Tight for the mean, wide for the percentile of few values; back ends differ by rounding.
    assert pooled.mean_error == pytest.approx(np.mean(errors), rel=1e-2, abs=1e-6)
    assert pooled.p999_error == pytest.approx(np.quantile(errors, 0.999), rel=1e-2, abs=1e-5)
    assert pooled.argmax_share == pytest.approx(np.mean(others), abs=0.01)
    assert pooled.mean_ratio is None


def test_ratios_are_to_pydensecrf(module):
    accuracy = module("crf_cost.accuracy")
    row = module("crf_cost.setting").AccuracyRow
    common = {"parameters": "readme", "image": "a", "p999_error": 0.0}
    rows = [
        row(method="fast-torch", mean_error=0.03, argmax_share=0.1, **common),
        row(method="pydensecrf", mean_error=0.02, argmax_share=0.4, **common),
        row(method="convcrf", mean_error=None, argmax_share=0.2, **common),
    ]
    found = accuracy._with_ratios(rows, changed_share=0.5)
    assert [each.mean_ratio for each in found] == [pytest.approx(1.5), 1.0, None]
    assert [each.argmax_ratio for each in found] == [0.25, 1.0, 0.5]
    assert accuracy._worst([*found, replace(found[0], mean_ratio=3.0)], "fast-torch") == 3.0


def test_unaries_find_the_labels_only_roughly(module):
    scenes = module("crf_cost.scenes")
    target = torch.zeros(48, 64, dtype=torch.int64)
    target[:, 30:] = 2
    probabilities = scenes.simulate_unary(target, num_classes=5, seed=0)
    assert probabilities.shape == (5, 48, 64)
    assert torch.allclose(probabilities.sum(0), torch.ones(48, 64), atol=1e-4)
    share = (probabilities.argmax(0) == target).double().mean().item()
    assert 0.8 < share < 1
    again = scenes.simulate_unary(target, num_classes=5, seed=0)
    assert torch.equal(probabilities, again)


@pytest.mark.parametrize("name", ["camvid", "voc", "city"])
def test_every_case_has_its_size(module, name):
    scenes, setting = module("crf_cost.scenes"), module("crf_cost.setting")
    dataset = scenes.open_dataset(None, use_camvid=False)
    case = setting.CASES[name]
    case = replace(case, height=case.height // 4, width=case.width // 4)
    scene = scenes.scene_of_case(dataset, case)
    assert scene.image.shape == (3, case.height, case.width)
    assert scene.image.dtype == torch.uint8
    assert scene.probabilities.shape == (case.num_classes, case.height, case.width)


def test_exact_is_not_timed_on_large_images(module, tiny_case, monkeypatch):
    timing, setting = module("crf_cost.timing"), module("crf_cost.setting")
    scenes = module("crf_cost.scenes")
    monkeypatch.setitem(timing.MAX_EXACT_PIXELS, "cpu", 500)  # the tiny case has 520
    task = setting.Task(case=tiny_case, parameters="deeplab", num_iterations=1, num_threads=1)
    dataset = scenes.open_dataset(None, use_camvid=False)
    (row,) = timing.time_tasks(
        [task],
        {tiny_case.name: scenes.scene_of_case(dataset, tiny_case)},
        ["exact"],
        num_repeats=1,
        max_seconds=1.0,
        device="cpu",
        convcrf=None,
        on_run=lambda _: None,
    )
    assert row.median_ms is None
    assert row.failure == "ValueError: not timed beyond 500 pixels on cpu"


def test_all_methods_run_in_every_round_and_ratios_are_those_of_rounds(
    module, tiny_case, monkeypatch
):
    timing, setting = module("crf_cost.timing"), module("crf_cost.setting")
    now = 0.0
    order: list[tuple[str, int]] = []

    def prepare(method, scene, parameters, *, device, convcrf):
        runs = 0

        def run():
            nonlocal now, runs
            slow = 10 if runs == 2 else 1  # a slow minute for both
            now += slow * (6.0 if method == "pydensecrf" else parameters.num_iterations)
            runs += 1
            order.append((method, parameters.num_iterations))
            if method == "local":
                raise RuntimeError("broken")

        return run

    monkeypatch.setattr(timing, "prepare", prepare)
    monkeypatch.setattr(timing, "synchronised_clock", lambda device, clock: lambda: now)
    tasks = [
        setting.Task(case=tiny_case, parameters="deeplab", num_iterations=count, num_threads=1)
        for count in (2, 3)
    ]
    rows = timing.time_tasks(
        tasks,
        {tiny_case.name: None},
        ["fast-fused", "local", "pydensecrf"],
        num_repeats=2,
        max_seconds=6.5,
        device="cpu",
        convcrf=None,
        on_run=lambda _: None,
    )

    working = [(method, count) for count in (2, 3) for method in ("fast-fused", "pydensecrf")]
    assert [key for key in order if key[0] != "local"] == 3 * working
    assert [(row.method, row.num_iterations) for row in rows] == [
        (method, count) for count in (2, 3) for method in ("fast-fused", "local", "pydensecrf")
    ]
    fast, broken, peer = rows[:3]
    assert (fast.min_ms, fast.median_ms, fast.max_ms, fast.num_repeats) == (2e3, 11e3, 2e4, 2)
    assert (fast.speedup, peer.speedup, rows[3].speedup) == (3, 1, 2)
    assert (broken.failure, broken.speedup, broken.num_repeats) == ("RuntimeError: broken", None, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer"], r"--peer: pydensecrf is not installed.*cython<3"),
        (["--convcrf", "nowhere"], r"no convcrf/convcrf\.py; name a checkout"),
        (["--methods", "pydensecrf"], r"--methods pydensecrf: give --peer instead"),
        (["--methods", "convcrf"], r"name its checkout with --convcrf"),
        (["--repeats", "0"], r"--repeats is 0; it must be at least 1"),
        (["--threads", "0"], r"--threads is 0"),
    ],
)
def test_bad_requests_are_told_what_to_do(module, monkeypatch, arguments, message):
    methods = module("crf_cost.methods")
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=message):
        module("crf").main(arguments)


def test_pydensecrf_is_called_with_the_same_model(module):
    pytest.importorskip("pydensecrf", reason="the benchmark's peer is no dependency")
    scenes, accuracy = module("crf_cost.scenes"), module("crf_cost.accuracy")
    dataset = scenes.open_dataset(None, use_camvid=False)
    rows = accuracy.measure_accuracy(
        scenes.crops(dataset, 1, (24, 30)),
        ["pydensecrf"],
        device="cpu",
        convcrf=None,
        on_run=lambda _: None,
    )
    for row in accuracy.pooled_rows(rows):
        # Two lattices apart at most; other parameters or axes in a wrong order give over 0.05.
        assert row.mean_error < 0.01
        assert row.changed_share > 0.01
        assert row.mean_ratio == 1.0
