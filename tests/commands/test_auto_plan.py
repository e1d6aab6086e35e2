"""What `--preset auto` chooses, on the fingerprints of sets that people have."""

import dataclasses
import json
import math
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg import search
from autoseg.commands import auto_plan
from autoseg.commands import search as search_command
from autoseg.commands.auto_plan import (
    DEFAULT_BUDGET_S,
    DeviceFacts,
    Fingerprint,
    fingerprint_of,
    plan_search,
)
from autoseg.config import SEARCH_PRESETS, SearchConfig
from autoseg.data import build_dataset
from autoseg.requests import SearchRequest
from autoseg.runs import Reckoning
from tests.data.folder.drawing import binary_folder

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

TWO_CORES = DeviceFacts(kind="cpu", memory_gib=math.inf, num_cores=2)
GPU = DeviceFacts(kind="cuda", memory_gib=80)
MICROSCOPE = Fingerprint(num_images=24, largest_size=(512, 512), num_classes=2, largest_share=0.8)
CAMVID = Fingerprint(num_images=367, largest_size=(360, 480), num_classes=11, largest_share=0.3)
CITYSCAPES = Fingerprint(
    num_images=2975, largest_size=(1024, 2048), num_classes=19, largest_share=0.4
)
MANY = Fingerprint(num_images=10_000, largest_size=(256, 256), num_classes=5, largest_share=0.5)
ONE_CLASS = dataclasses.replace(MANY, num_classes=1, largest_share=1.0)
THUMBNAILS = Fingerprint(num_images=100, largest_size=(32, 32), num_classes=3, largest_share=0.97)
FEW = Fingerprint(num_images=5, largest_size=(96, 128), num_classes=3, largest_share=0.5)
ALL = (MICROSCOPE, CAMVID, CITYSCAPES, MANY, ONE_CLASS, THUMBNAILS, FEW)


@pytest.mark.parametrize("device", [TWO_CORES, GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("data", ALL)
def test_every_plan_can_be_run(data, device):
    plan = plan_search(data, device)
    config = dataclasses.replace(SEARCH_PRESETS[plan.size], **plan.settings)  # checks ranges
    seen = [round(side * config.image_scale) for side in data.largest_size]
    assert all(64 <= crop <= side for crop, side in zip(config.crop_size, seen, strict=True))
    assert config.batch_size <= data.num_images // 2
    assert plan.seconds is not None
    assert plan.seconds <= DEFAULT_BUDGET_S[device.kind]
    assert plan.memory_gib <= 0.8 * device.memory_gib
    assert plan == plan_search(data, device)


@pytest.mark.parametrize(
    ("data", "scale", "crop"),
    [
        (MICROSCOPE, 160 / 512, (64, 64)),
        (CAMVID, 160 / 480, (64, 64)),
        (CITYSCAPES, 160 / 2048, (64, 64)),
        (MANY, 160 / 256, (64, 64)),
        (THUMBNAILS, 2.0, (64, 64)),
    ],
)
def test_two_cores_see_the_scene_in_small(data, scale, crop):
    plan = plan_search(data, TWO_CORES)
    assert plan.size == "tiny"
    assert (plan.settings["image_scale"], plan.settings["crop_size"]) == (scale, crop)
    assert plan.settings["arch_steps"] >= 128  # no fewer than the preset has on its own images


def test_a_large_gpu_gets_the_papers_sizes_and_a_small_one_or_a_short_time_does_not():
    plan, paper = plan_search(CITYSCAPES, GPU), SearchConfig()
    assert plan.size == "paper"
    assert plan.settings["image_scale"] == 0.5  # as in the paper, section 5.1
    assert plan.settings["crop_size"] == paper.crop_size
    assert plan.settings["batch_size"] == paper.batch_size
    assert plan.settings["arch_steps"] == 14_860  # the paper's 20 epochs of 743
    assert plan_search(CAMVID, GPU).settings["crop_size"] == (321, 321)
    assert plan_search(CITYSCAPES, DeviceFacts(kind="cuda", memory_gib=2)).size == "tiny"
    assert plan_search(CITYSCAPES, GPU, budget_s=60).size == "tiny"


def test_sizes_that_are_given_decide_with_which_supernet_a_step_fits():
    # 16 KiB for each of 2 x 769 x 769 pixels are 18.05 GiB, of which 80 % of 24 have room.
    large = {"crop_size": (769, 769)}
    fits, does_not, half = (
        plan_search(CITYSCAPES, DeviceFacts(kind="cuda", memory_gib=gib), given=given)
        for gib, given in ((24, large), (22, large), (22, large | {"batch_size": 1}))
    )
    assert (fits.size, does_not.size, half.size) == ("paper", "tiny", "paper")
    assert fits.memory_gib == pytest.approx(18.05, abs=0.01)
    assert half.memory_gib == pytest.approx(fits.memory_gib / 2)
    # Twice the pixels of a step are half of the steps, in the same time.
    steps = [
        plan_search(CAMVID, TWO_CORES, given={"batch_size": batch}).settings["arch_steps"]
        for batch in (8, 16)
    ]
    assert steps[0] == pytest.approx(2 * steps[1], abs=1)
    # Images that stay on the GPU take their part: 19.2 less 2 GiB have no room.
    kept = DeviceFacts(kind="cuda", memory_gib=24, kept_gib=2)
    assert plan_search(CITYSCAPES, kept, given=large).size == "tiny"
    for named in (fits.settings, fits.reasons):
        assert "crop_size" not in named  # that was no choice of the plan
    whole = plan_search(CAMVID, TWO_CORES, given={"image_scale": 1.0, "batch_size": 2})
    assert whole.settings["crop_size"] == SEARCH_PRESETS["tiny"].crop_size


def test_a_budget_of_time_leaves_the_end_to_the_clock():
    plan = plan_search(MICROSCOPE, TWO_CORES, budget_s=1200)
    assert "arch_steps" not in plan.settings
    assert plan.seconds == 1200


def test_more_cores_get_more_steps():
    steps = [
        plan_search(MICROSCOPE, dataclasses.replace(TWO_CORES, num_cores=cores))
        for cores in (1, 2, 8, 64)
    ]
    counts = [plan.settings["arch_steps"] for plan in steps]
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[2] == counts[3]


def test_crops_look_for_rare_classes_where_one_has_nearly_all_pixels():
    assert plan_search(THUMBNAILS, TWO_CORES).settings["class_uniform"] == 0.5
    for data in (MICROSCOPE, ONE_CLASS):
        assert "class_uniform" not in plan_search(data, TWO_CORES).settings


def test_the_fingerprint_is_that_of_the_images():
    dataset = build_dataset("synthetic", split="train", image_size=(48, 64), length=5)
    labels = torch.cat([dataset[index].target.flatten() for index in range(5)])
    labels = labels[labels != dataset.ignore_index]
    found = fingerprint_of(dataset)
    assert (found.num_images, found.largest_size, found.num_classes) == (5, (48, 64), 12)
    assert found.largest_share == pytest.approx(labels.bincount().max().item() / len(labels))


def test_a_folder_is_searched_by_a_plan_that_is_said_and_recorded(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(0, 2, (32, 40), dtype=np.uint8) * 255
            Image.fromarray(pixels).save(tmp_path / "set" / folder / f"{number}.png")
    arguments = ["--dataset", "folder", "--data-root", "set", "--device", "cpu"]
    assert search.main([*arguments, "--out", "run", "--arch-steps", "1", "--num-epochs", "2"]) == 0
    said = capsys.readouterr().err
    assert "search: plan: images of up to 32 x 40 pixels at 200% of their sides" in said
    assert "steps move alpha and beta" not in said  # these were given
    config = json.loads(Path("run/run.json").read_text())["config"]
    assert config["image_scale"] == 2.0
    assert config["batch_size"] == 2
    assert set(config["plan"]) == {"reasons", "memory_gib", "seconds"}


def test_a_preset_that_is_named_is_taken_as_it_is(tmp_path):
    generator = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for number in range(3 * SEARCH_PRESETS["tiny"].batch_size):
            pixels = generator.integers(0, 2, (96, 128), dtype=np.uint8) * 255
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    asked = SearchRequest(dataset="folder", data_root=tmp_path, strategy="darts")
    planned = {
        preset: search_command._plan(asked.with_values(preset=preset), torch.device("cpu"))
        for preset in ("tiny", "auto")
    }
    assert planned["tiny"].auto is None and planned["auto"].auto is not None
    own = planned["tiny"].request.pick(SearchConfig)
    assert dataclasses.replace(own, arch_steps=0) == SEARCH_PRESETS["tiny"]


def test_images_that_will_stay_on_the_gpu_leave_the_plan_less_room(monkeypatch):
    # 12 scenes of 96 x 128 pixels in 3 colours and a label of a byte.
    dataset = build_dataset("synthetic", split="train", image_size=(96, 128), length=12)
    planner = mock.MagicMock()
    monkeypatch.setattr(search_command, "facts_of", lambda device: GPU)
    monkeypatch.setattr(search_command, "plan_search", planner)
    for gib in (0.0, 2**-11, 1.0):
        request = SearchRequest(dataset="folder", resident_gib=gib)
        search_command._auto_plan(request, dataset, torch.device("cuda"))
    kept = [call.args[1].kept_gib for call in planner.call_args_list]
    assert kept == [0.0, 2**-11, 12 * 96 * 128 * 4 / 2**30]


def test_a_search_by_steps_is_held_against_its_plan(tmp_path):
    binary_folder(tmp_path)
    asked = SearchRequest(dataset="folder", data_root=tmp_path, strategy="darts")
    planned = search_command._plan(asked, torch.device("cpu"))
    expected_s = planned.auto.seconds
    for factor, is_said in ((1.4, False), (1.6, True)):
        reckoning = planned.reckoning()
        reckoning.surprise(1, total=40, now_s=0.0)
        surprise = reckoning.surprise(21, total=40, now_s=factor * expected_s / 2)
        assert (surprise is not None) == is_said
    assert f"--budget {math.ceil(expected_s / 60)}m" in surprise
    for name, value in (("budget", "10m"), ("preset", "tiny"), ("arch_steps", 3)):
        other = SearchRequest(
            dataset="folder",
            data_root=tmp_path,
            strategy="darts",
            **{name: value},
        )
        assert search_command._plan(other, torch.device("cpu")).reckoning() is None, name


def test_a_search_says_that_it_takes_longer_than_planned(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    binary_folder(tmp_path / "set")
    monkeypatch.setattr(Reckoning, "surprise", lambda *_, **__: "slow")
    monkeypatch.setitem(DEFAULT_BUDGET_S, "cpu", 1e-6)
    monkeypatch.setattr(auto_plan, "_MIN_ARCH_STEPS", 1)
    words = ["--dataset", "folder", "--data-root", "set", "--device", "cpu", "--out", "run"]
    assert search.main([*words, "--strategy", "darts"]) == 0
    assert "\nsearch: slow\n" in capsys.readouterr().err
