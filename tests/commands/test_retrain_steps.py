"""How long `--preset auto` trains: two hours of an H100, and never longer than the paper."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.architecture import load_architecture
from autoseg.commands import retrain_memory
from autoseg.commands.auto_plan import DeviceFacts
from autoseg.commands.retrain_plan import plan_retraining
from autoseg.commands.retrain_steps import plan_steps
from autoseg.config import RETRAIN_PRESETS
from autoseg.requests import RetrainRequest
from autoseg.runs import Run

PAPER = RETRAIN_PRESETS["paper"]
CAMVID = dataclasses.replace(PAPER, crop_size=(360, 480))
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def plan(config, *, num_val_images, size, given=(), num_images=367):
    height, width = size
    return plan_steps(
        config,
        num_images=num_images,
        num_val_pixels=num_val_images * height * width,
        given=given,
    )


def test_camvid_gets_two_hours_at_52_images_a_second():
    found = plan(CAMVID, num_val_images=101, size=(360, 480))
    num_images_seen = found.settings["num_steps"] * CAMVID.batch_size
    assert num_images_seen == pytest.approx(7200 * 52, rel=0.02)  # as it was measured
    assert f"each of the 367 images is seen {num_images_seen / 367:.0f} times" in found.reasons[0]
    assert "about 120 min a network on an H100" in found.reasons[0]


@pytest.mark.parametrize("num_val_images", [1, 101, 500, 100_000])
@pytest.mark.parametrize("given", [(), ("num_steps",)])
def test_validations_take_a_tenth_at_most(num_val_images, given):
    config = dataclasses.replace(CAMVID, num_steps=20_000)
    settings = plan(config, num_val_images=num_val_images, size=(360, 480), given=given).settings
    every, num_steps = settings["validate_every"], settings["num_steps"]
    assert num_steps == 20_000
    # Images that pass forward alone, at a third of what an image of a step costs.
    share = num_val_images / 3 / (every * config.batch_size)
    assert share <= 0.1 or every == num_steps  # the last step is validated in any case
    assert num_steps / every <= 50


def test_a_budget_spaces_validations_by_the_steps_that_it_would_be():
    by_clock = dataclasses.replace(CAMVID, budget="1h", num_steps=7)
    found = plan(by_clock, num_val_images=101, size=(360, 480))
    # 52 images a second, as it was measured: 11,700 steps in an hour, of which a fiftieth is
    # between two validations, unless these took more than a tenth.
    every = found.settings.pop("validate_every")
    assert every == pytest.approx(3600 * 52 / 16 / 50, rel=0.02)
    assert found.settings == {}  # the clock says how many steps there are
    assert [reason.split(" (")[0] for reason in found.reasons] == [
        f"a validation every {every} steps"
    ]
    assert plan(by_clock, num_val_images=1, size=(8, 8), given=("validate_every",)).reasons == ()


@pytest.mark.parametrize(
    ("num_images", "num_steps"),
    [
        (10_000_000, PAPER.num_steps),
        (100, 2000 * 100 / 2),  # each image 2,000 times
        (1, 2000 / 2 * 1.2),  # as many steps as the preset tiny has
    ],
)
def test_small_images_train_no_longer_than_the_paper_and_few_ones_shorter(num_images, num_steps):
    small = dataclasses.replace(PAPER, crop_size=(32, 32), batch_size=2)
    found = plan(small, num_val_images=10, size=(32, 32), num_images=num_images)
    assert found.settings["num_steps"] == num_steps


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Where there is no GPU, its memory cannot be asked for.
    gpu = DeviceFacts(kind="cuda", memory_gib=math.inf)
    monkeypatch.setattr(retrain_memory, "facts_of", lambda device: gpu)
    generator = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(0, 2, (64, 96), dtype=np.uint8) * 255
            Image.fromarray(pixels).save(tmp_path / "set" / folder / f"{number}.png")
    return {"dataset": "folder", "data_root": Path("set"), "network": ("unet",)}


def test_a_named_preset_a_cpu_and_what_is_given_stay(images, capsys):
    planned = plan_retraining(RetrainRequest(**images), CUDA)
    assert planned.request.preset == "paper"
    assert planned.training.num_steps < PAPER.num_steps
    assert planned.training.crop_size == (64, 96)
    said = capsys.readouterr().err
    assert all(f"retrain: plan: {reason}" in said for reason in planned.reasons)
    assert planned.record(None)["plan"] == {"reasons": list(planned.reasons)}
    given = plan_retraining(RetrainRequest(**images, num_steps=40), CUDA)
    assert (given.training.num_steps, given.training.validate_every) == (40, 1)
    assert len(given.reasons) == 1
    for request, device, num_steps in (
        (RetrainRequest(**images, preset="paper"), CUDA, PAPER.num_steps),
        (RetrainRequest(**images), CPU, RETRAIN_PRESETS["tiny"].num_steps),
    ):
        other = plan_retraining(request, device)
        assert other.training.num_steps == num_steps
        # A name is no plan; the sizes for a CPU are one without reasons for its steps.
        record = other.record(None)
        assert record.get("plan") == (None if request.preset == "paper" else {"reasons": []})


@pytest.mark.parametrize("is_planned", [True, False])
def test_what_a_search_planned_is_planned_on_and_what_it_was_told_stays(images, is_planned):
    folder = Path("search")
    config = {"dataset": "folder", "data_root": "set", "preset": "paper"}
    config |= {"plan": {"reasons": {}}} if is_planned else {}
    with Run.create(folder, kind="search", command=["test"], config=config, seed=0):
        load_architecture("autodeeplab_paper").save(folder / "architecture.json")
    request = RetrainRequest(architecture=folder / "architecture.json", **images)
    assert (plan_retraining(request, CUDA).training.num_steps < PAPER.num_steps) == is_planned
