"""What is said of a retraining before it starts, and what is said not to be known."""

import csv
import dataclasses
from pathlib import Path

import pytest
import torch

from autoseg.architecture import load_architecture
from autoseg.commands import retrain_estimate, step_counts
from autoseg.commands.auto_plan import DeviceFacts
from autoseg.commands.retrain_estimate import Estimate, estimate_trainings
from autoseg.commands.step_counts import StepCounts
from autoseg.config import RETRAIN_PRESETS
from autoseg.trained import NetworkChoice
from autoseg.training import step_tally
from tests.training.test_loop import CONFIG, CPU, datasets

GPU = torch.device("cuda")
UNET = NetworkChoice(label="unet", name="unet", width=0.02)
SEGNET = NetworkChoice(label="segnet", name="segnet_basic", width=0.02)
TALLIES = {"unet": step_tally.StepTally(3.0, 4.0), "segnet": step_tally.StepTally(0.5, 1.0)}


@pytest.fixture
def counted(monkeypatch):
    """Stand in for the count, and for one core; gives the numbers of images asked for."""
    asked = []

    def count(build, config, *, num_images, **_):
        asked.append(num_images)
        return TALLIES["unet" if type(build()).__name__ == "UNet" else "segnet"]

    monkeypatch.setattr(step_tally, "count_step", count)
    cpu = DeviceFacts(kind="cpu", memory_gib=float("inf"), num_cores=1)
    monkeypatch.setattr(retrain_estimate, "facts_of", lambda device: cpu)
    return asked


def estimate(*choices, config=CONFIG, num_seeds=1, is_published_size=False, device=CPU):
    return estimate_trainings(
        choices,
        config,
        StepCounts(datasets()[0], device),
        num_seeds=num_seeds,
        is_published_size=is_published_size,
    )


def test_time_on_a_cpu_is_that_of_what_the_steps_write(counted, capsys):
    config = dataclasses.replace(CONFIG, num_steps=1000)
    found = estimate(UNET, SEGNET, config=config, num_seeds=3)
    assert found.memory_gib == {"unet": 3.0, "segnet": 0.5}
    assert found.seconds == {"unet": 3840, "segnet": 960}
    assert capsys.readouterr().err.splitlines() == [
        "retrain: plan: a step takes about 3.0 GiB for unet, 512 MiB for segnet",
        # 0.96 s for each GB of 1,000 steps; three times the 4,800 s of both.
        "retrain: plan: the steps take about 64 min for unet, 16 min for segnet, each with 3 seeds:"
        " 240 min in all, if nothing else runs",
    ]


TABLE = Path(__file__).parents[2] / "results/training_step/training_step.csv"
MEASURED = {
    row["network"]: float(row["channels_last_ms"]) / 1000
    for row in csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())
}
"""Seconds of a step on one core, by network, of the preset tiny on 12 classes."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "unet" else pytest.mark.nightly) for name in MEASURED],
)
def test_measured_steps_take_the_time_that_is_reckoned_within_a_half(name, monkeypatch):
    cpu = DeviceFacts(kind="cpu", memory_gib=float("inf"), num_cores=1)
    monkeypatch.setattr(retrain_estimate, "facts_of", lambda device: cpu)
    preset = RETRAIN_PRESETS["tiny"]
    sizes = {"width": preset.width, "filter_multiplier": preset.filter_multiplier}
    if name == "autodeeplab_paper":
        choice = NetworkChoice(label=name, architecture=load_architecture(name), **sizes)
    else:
        choice = NetworkChoice(label=name, name=name, width=preset.width)
    found = estimate(choice, config=preset).seconds[name]
    assert 0.68 < MEASURED[name] * preset.num_steps / found < 1.27


@pytest.mark.parametrize(
    ("budget", "seconds", "in_all"), [("90s", 90, "9 min"), ("15s", 15, "1 min 30 s")]
)
def test_a_budget_is_the_time_of_each_training(counted, capsys, budget, seconds, in_all):
    config = dataclasses.replace(CONFIG, budget=budget)
    found = estimate(UNET, SEGNET, config=config, num_seeds=3)
    assert found.seconds == {"unet": seconds, "segnet": seconds}
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"retrain: plan: {budget} for each training (--budget), {in_all} in all, and the "
        "validation at its end"
    )


def test_on_a_gpu_the_published_sizes_have_a_known_speed_and_others_have_none(counted, capsys):
    paper = dataclasses.replace(RETRAIN_PRESETS["paper"], crop_size=(360, 480), num_steps=1000)
    found = estimate(UNET, config=paper, is_published_size=True, device=GPU)
    # As it was measured: 52 images of this size a second on an H100.
    assert found.seconds["unet"] == pytest.approx(1000 * 16 / 52, rel=0.02)
    assert "is not known" not in capsys.readouterr().err
    assert estimate(SEGNET, device=GPU).seconds == {"segnet": None}
    assert (
        "retrain: plan: how long segnet takes is not known: the progress says it after"
        in capsys.readouterr().err
    )


def test_processes_have_their_share_of_a_batch(counted, monkeypatch, capsys):
    for each in (retrain_estimate, step_counts):
        monkeypatch.setattr(each, "num_processes", lambda: 2)
    estimate(SEGNET, config=dataclasses.replace(CONFIG, batch_size=6))
    assert counted == [3]
    assert "512 MiB for segnet, in each of 2 processes\n" in capsys.readouterr().err


def test_a_crf_behind_a_network_is_not_counted_and_the_record_says_so(capsys):
    found = estimate(UNET.with_crf_layer(), SEGNET)
    assert capsys.readouterr().err.startswith(
        "retrain: plan: memory of unet+crf is not known: the lattice of its CRF depends on the "
        "images\n"
    )
    assert found.memory_gib["unet+crf"] is found.seconds["unet+crf"] is None
    assert found.record("unet+crf") == {"memory_gib": None, "seconds": None}
    assert 0 < found.memory_gib["segnet"] < 0.1
    assert Estimate.from_record({"reasons": [], **found.record()}) == found
    assert Estimate.from_record({"reasons": []}) is None  # a plan of before there were estimates
