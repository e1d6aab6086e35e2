"""What keeps a GPU from waiting changes no result: rare looks at the losses, images that stay."""

import dataclasses
import math

import pytest

from autoseg.data import ResidentSamples
from autoseg.runs import Run
from autoseg.training import DivergedError, accumulation, loop, waiting
from tests.training.test_loop import (
    CONFIG,
    CPU,
    Flag,
    assert_same_run,
    datasets,
    metrics,
    new_run,
    run_training,
)


@pytest.fixture
def whole(tmp_path):
    with new_run(tmp_path / "whole") as run:
        run_training(run)
    return tmp_path / "whole"


def test_reading_losses_rarely_changes_nothing(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(loop, "steps_between_reads", lambda device: 50)
    folder = tmp_path / "rare"
    with new_run(folder) as run:
        run_training(run, stop=Flag(3))
    with Run.resume(folder) as run:
        run_training(run)
    assert_same_run(folder, whole)


def test_images_that_stay_on_the_device_change_nothing(tmp_path, whole):
    folder = tmp_path / "resident"
    with new_run(folder) as run:
        run_training(run, config=dataclasses.replace(CONFIG, resident_gib=1.0))
    assert_same_run(folder, whole)


@pytest.mark.parametrize("stop_after", [None, 4])
def test_a_loss_that_is_not_finite_is_found_before_anything_is_saved(
    tmp_path, monkeypatch, stop_after
):
    steps, loss_of = iter(range(10)), accumulation.segmentation_loss
    monkeypatch.setattr(loop, "steps_between_reads", lambda device: 50)
    monkeypatch.setattr(
        accumulation,
        "segmentation_loss",
        lambda *args, **options: loss_of(*args, **options) * (math.nan if next(steps) == 3 else 1),
    )
    rule = r"^the training loss is nan at step 3, with learning rate 0\.05\d+\."
    config = dataclasses.replace(CONFIG, validate_every=3)
    with pytest.raises(DivergedError, match=rule), new_run(tmp_path / "run") as run:
        run_training(run, config=config, stop=Flag(stop_after))
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == [
        "checkpoint-00000003.pt"
    ]
    assert [line["step"] for line in metrics(tmp_path / "run")] == [3]


def test_what_helps_images_that_stay_is_room_for_more():
    train, _ = datasets()
    samples = ResidentSamples(train, CPU, max_gib=2**-19)  # 2 KiB: none fits
    assert waiting._remedies(samples, 0) == []
    samples[0]
    assert waiting._remedies(samples, 0) == [
        "a --resident-gib above 1.90735e-06 keeps more images on the device"
    ]
