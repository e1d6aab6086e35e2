"""What is lowered where a step does not fit, against all that could be lowered, one by one."""

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.commands import retrain_memory, retrain_steps
from autoseg.commands.auto_plan import DeviceFacts
from autoseg.commands.retrain_memory import GpuRoom, plan_memory, planned_memory
from autoseg.commands.retrain_plan import plan_resumed, plan_retraining
from autoseg.commands.step_counts import StepCounts
from autoseg.config import RETRAIN_PRESETS, TrainingConfig
from autoseg.requests import RetrainRequest
from autoseg.runs import Run
from autoseg.trained import NetworkChoice
from autoseg.training import step_tally
from tests.training.test_loop import datasets
from tests.training.test_step_tally import measured_in_parts_gib

CUDA = torch.device("cuda")
CONFIG = TrainingConfig(batch_size=16, crop_size=(200, 300))
GIB_A_PIXEL = {"small": 1e-5, "large": 3e-5}
WEIGHTS_GIB = {"small": 1.0, "large": 0.5}


def sizes_of_parts(config):
    return [len(part) for part in torch.arange(config.batch_size).chunk(config.accumulate)]


def takes(label, config):
    pixels = max(sizes_of_parts(config)) * math.prod(config.crop_size)
    return WEIGHTS_GIB[label] + pixels * GIB_A_PIXEL[label]


def chosen(config, step_gib, *, labels=("small", "large"), given=(), memory_gib=100.0):
    """Return the recipe that a plan makes of one, and why."""
    plan = plan_memory(
        config,
        takes,
        labels=labels,
        num_images=config.batch_size,
        room=GpuRoom(memory_gib=memory_gib, step_gib=step_gib),
        given=given,
    )
    return dataclasses.replace(config, **plan.settings), plan.reasons


def all_there_are(config, *, labels):
    """List side, parts and what the largest network takes, of every recipe that may be chosen."""
    smallest = 1 if config.batch_norm == "frozen" else 2
    found = []
    for parts, side in itertools.product(range(1, config.batch_size + 1), (200, 168, 136, 104, 72)):
        crop = (side, round(side * 300 / 200))
        tried = dataclasses.replace(config, accumulate=parts, crop_size=crop)
        sizes = sizes_of_parts(tried)
        if len(sizes) == parts and (parts == 1 or min(sizes) >= smallest):
            found.append((side, parts, max(takes(label, tried) for label in labels)))
    return found


@pytest.mark.parametrize("batch_norm", ["synced", "frozen"])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 16])
@pytest.mark.parametrize("labels", [("small",), ("small", "large")])
def test_the_choice_is_the_largest_crop_that_fits_and_the_whole_one_in_the_fewest_parts(
    batch_size, batch_norm, labels
):
    config = dataclasses.replace(CONFIG, batch_size=batch_size, batch_norm=batch_norm)
    recipes = all_there_are(config, labels=labels)
    sides = set()
    for step_gib in (gib + 1e-9 for _, _, gib in recipes):
        found, _ = chosen(config, step_gib, labels=labels)
        fitting = [(side, parts) for side, parts, gib in recipes if gib <= step_gib]
        side = max(side for side, _ in fitting)
        # Crops are lowered only where no number of parts is enough, and then from the last one.
        best = min if side == 200 else max
        parts = best(parts for fitting_side, parts in fitting if fitting_side == side)
        assert (found.crop_size[0], found.accumulate) == (side, parts)
        assert found.batch_size == batch_size
        sides.add(side)
    assert sides == {200, 168, 136, 104, 72}


def test_what_fits_stays_and_nothing_is_said():
    assert chosen(CONFIG, 30.0) == (CONFIG, ())


def test_the_line_says_what_was_chosen_and_which_network_is_why():
    # 0.5 + 16 x 200 x 300 x 3e-5 = 29.3 GiB at once, 14.9 in two parts, 7.7 in four.
    _, (line,) = chosen(CONFIG, 8.0, memory_gib=10.0)
    assert line == (
        "each batch in 4 parts (--accumulate), with the gradient of the whole and batch norm's "
        "statistics of a part, as a step of large would take about 29.3 GiB, and a plan lets it "
        "take 8.0 GiB of the GPU's 10.0 GiB"
    )
    # 4.1 in eight parts of 200 x 300 pixels, and 3.0 with crops of 168 x 252.
    _, (line,) = chosen(CONFIG, 3.2)
    assert line.startswith("each batch in 8 parts (--accumulate)")
    assert "of a part, and crops of 168 x 252 pixels (--crop-size), as a step of large" in line


def test_what_is_given_stays_and_the_line_names_what_would_fit():
    both = ("accumulate", "crop_size")
    given, (line,) = chosen(CONFIG, 8.0, memory_gib=10.0, given=both)
    assert given == CONFIG
    assert line.startswith("it does not fit: a step of large would take about 29.3 GiB, and a ")
    assert line.endswith("; what was given stays; --accumulate 4 --crop-size 200 300 would fit")
    assert chosen(CONFIG, 28.0, memory_gib=35.0, given=both)[1][0].startswith("it may not fit: ")
    by_parts, _ = chosen(CONFIG, 3.2, given=("crop_size",))
    assert by_parts == CONFIG  # no parts are enough, and crops are not the plan's to lower
    by_crop, _ = chosen(CONFIG, 8.0, given=("accumulate",))
    assert (by_crop.accumulate, by_crop.crop_size) == (1, (72, 108))
    _, (line,) = chosen(CONFIG, 0.7)
    assert line.endswith(
        "no smaller crop does either: take a smaller network (--width), or a larger GPU"
    )


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of ten images, and the arguments that train a network on them."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for folder, channels in (("images", (3,)), ("masks", ())):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(0, 2, (32, 48, *channels), dtype=np.uint8) * 255
            Image.fromarray(pixels).save(tmp_path / "set" / folder / f"{number}.png")
    sizes = {"width": 0.02, "precision": "fp32", "batch_size": 4}
    return {"dataset": "folder", "data_root": Path("set"), "network": ("segnet_basic",), **sizes}


def gpu_of(monkeypatch, memory_gib):
    gpu = DeviceFacts(kind="cuda", memory_gib=memory_gib)
    monkeypatch.setattr(retrain_memory, "facts_of", lambda device: gpu)


def measured_gib(planned):
    """Let torch's allocator say what a step of the plan takes."""
    (choice,), dataset = planned.networks, planned.train_dataset
    return measured_in_parts_gib(
        lambda: choice.build(dataset.num_classes, normalisation=dataset.normalisation),
        planned.training,
        num_classes=dataset.num_classes,
    )


@pytest.mark.nightly
def test_a_retraining_is_planned_into_the_memory_of_its_gpu(images, monkeypatch):
    gpu_of(monkeypatch, math.inf)
    whole = plan_retraining(RetrainRequest(**images), CUDA)
    taken = measured_gib(whole)
    gpu_of(monkeypatch, 0.7 * taken / 0.8)
    planned = plan_retraining(RetrainRequest(**images), CUDA)
    assert planned.training == dataclasses.replace(whole.training, accumulate=2)
    assert measured_gib(planned) < 0.7 * taken


@pytest.fixture
def counted(monkeypatch):
    """Let a step take 1 GiB for each 1,000 pixels of an image, divided by its parts."""
    monkeypatch.setattr(
        step_tally,
        "count_step",
        lambda _, config, **__: step_tally.StepTally(
            math.prod(config.crop_size) / config.accumulate / 1000, 1.0
        ),
    )


@pytest.mark.usefixtures("counted")
def test_what_was_chosen_is_said_and_recorded_and_goes_on(images, monkeypatch, capsys):
    gpu_of(monkeypatch, 1.0 / 0.8)  # of the 1,536 pixels of a crop
    planned = plan_retraining(RetrainRequest(**images, out=Path("run")), CUDA)
    assert planned.training.accumulate == 2
    assert f"retrain: plan: {planned.reasons[0]}\n" in capsys.readouterr().err
    record = planned.record(None)
    assert record["plan"]["reasons"] == list(planned.reasons)
    with Run.create(Path("run"), kind="retrain-set", command=["test"], config=record, seed=0):
        pass
    gpu_of(monkeypatch, 0.1)
    resumed = plan_resumed(RetrainRequest(out=Path("run"), resume=True))
    assert (resumed.training, resumed.reasons) == (planned.training, planned.reasons)


@pytest.mark.usefixtures("counted")
def test_smaller_crops_get_the_steps_of_their_time(images, monkeypatch):
    monkeypatch.setattr(retrain_steps, "_MAX_EPOCHS", 10**9)  # the time alone ends a training
    given = {"accumulate": 1, "image_scale": 8.0, "scale_range": (1.0, 1.0)}
    pixels = []
    for memory_gib, crop in ((math.inf, (256, 384)), (50 / 0.8, (160, 240))):
        gpu_of(monkeypatch, memory_gib)
        config = plan_retraining(RetrainRequest(**images, **given), CUDA).training
        assert config.crop_size == crop
        pixels.append(config.num_steps * math.prod(crop))
    assert pixels[0] == pytest.approx(pixels[1], rel=1e-3)


@pytest.mark.parametrize("asked", [{"preset": "paper"}, {"auto_batch": True}, {"loss": ("dice",)}])
def test_a_named_preset_a_batch_that_is_tried_and_what_cannot_be_counted_stay(
    images, asked, monkeypatch
):
    gpu_of(monkeypatch, 1e-3)
    assert plan_retraining(RetrainRequest(**images, **asked), CUDA).training.accumulate == 1


@pytest.mark.usefixtures("counted")
def test_images_that_stay_on_the_gpu_leave_less_room(monkeypatch):
    dataset = datasets()[0]
    height, width = dataset.largest_size
    image_gib = height * width * 4 / 2**30  # three colours and a label, a byte each
    choice = NetworkChoice(label="segnet", name="segnet_basic", width=0.02)
    config = dataclasses.replace(
        RETRAIN_PRESETS["tiny"], batch_size=4, crop_size=(32, 48), precision="fp32"
    )
    counts = StepCounts(dataset, CUDA)
    gpu_of(monkeypatch, (counts(choice, config).memory_gib + 2.5 * image_gib) / 0.8)
    settings = [
        planned_memory([choice], dataclasses.replace(config, resident_gib=gib), counts, given=())
        for gib in (0.0, 2 * image_gib, 3 * image_gib)
    ]
    assert len(dataset) >= 3
    assert [plan.settings for plan in settings] == [{}, {}, {"accumulate": 2}]
