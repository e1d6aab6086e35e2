"""The loss that the settings mean, and what a training makes of it."""

import dataclasses
import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.config import LossConfig, TrainingConfig
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.runs import Run, load_weights, seed_everything
from autoseg.training import (
    accumulation,
    chosen_loss,
    train,
)
from autoseg.training.chosen_loss import PLAIN, ChosenLoss, build_loss, choose_loss
from autoseg.training.loss_functions import dice_loss, focal_loss, ohem_cross_entropy
from tests.training.test_loop import Flag

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    num_steps=2, batch_size=2, crop_size=(16, 16), validate_every=1, val_images=1, learning_rate=0.1
)
TRAIN, VAL = (
    build_dataset("synthetic", split=split, image_size=(24, 32), length=3)
    for split in ("train", "val")
)


def random_case():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 12, 3, 5, generator=generator)
    target = torch.randint(12, (2, 3, 5), generator=generator)
    target[0, 1] = 255
    return logits, target


def test_the_default_is_plain_cross_entropy_bit_for_bit():
    chosen = choose_loss(LossConfig(), TRAIN)
    assert chosen == PLAIN
    logits, target = random_case()
    expected = F.cross_entropy(logits, target, ignore_index=255, reduction="sum")
    loss = build_loss(chosen, device=CPU)(logits, target, ignore_index=255)
    assert torch.equal(loss, expected / (target != 255).sum())


def test_what_is_left_open_is_filled_in():
    config = LossConfig(loss=("focal", "ohem", "lovasz"), ohem_min_kept=0.25)
    assert choose_loss(config, TRAIN).terms == {
        "focal": {"gamma": 2.0},
        "ohem": {"threshold": 0.7, "min_kept": 0.25},
        "lovasz": {},
    }


@pytest.mark.parametrize("name", ["ohem", "lovasz"])
def test_a_loss_that_sorts_the_whole_batch_is_refused_to_several_processes(monkeypatch, name):
    monkeypatch.setattr(chosen_loss, "num_processes", lambda: 2)
    message = f"^--loss {name}: .* 2 processes has a part; use cross_entropy, dice.* or one process"
    with pytest.raises(UsageError, match=message):
        choose_loss(LossConfig(loss=("dice", name)), TRAIN)
    choose_loss(LossConfig(loss=("dice", "focal")), TRAIN)


def test_class_weights_are_kept_by_name():
    counts = torch.zeros(12)
    for sample in TRAIN:
        counts += torch.bincount(sample.target.flatten(), minlength=256)[:12]
    middle = counts[counts > 0].quantile(0.5)
    expected = torch.where(counts > 0, middle / counts, 0.0)
    chosen = choose_loss(LossConfig(class_weights="median_frequency"), TRAIN)
    assert chosen.class_weights is not None
    assert tuple(chosen.class_weights) == TRAIN.class_names
    assert tuple(chosen.class_weights.values()) == pytest.approx(expected.tolist(), rel=1e-5)


def test_terms_are_added_with_their_options_and_the_class_weights():
    weights = torch.linspace(0.1, 3.0, 12)
    chosen = ChosenLoss(
        terms={"focal": {"gamma": 1.0}, "dice": {}, "ohem": {"threshold": 0.1, "min_kept": 0.5}},
        class_weights={str(c): weight.item() for c, weight in enumerate(weights)},
    )
    logits, target = random_case()
    terms = [
        partial(focal_loss, gamma=1.0, class_weights=weights),
        dice_loss,
        partial(ohem_cross_entropy, threshold=0.1, min_kept=0.5, class_weights=weights),
    ]
    expected = sum(term(logits, target, ignore_index=255).item() for term in terms)
    loss = build_loss(chosen, device=CPU)(logits, target, ignore_index=255)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def run_training(run, config, *, stop_after=None):
    seed_everything(3)
    network = nn.Conv2d(3, 12, 3, padding=1)
    return train(
        network,
        run=run,
        config=config,
        train_dataset=TRAIN,
        val_dataset=VAL,
        identity={"network": "small"},
        device=CPU,
        stop=Flag(stop_after),
        description="test",
    )


def new_run(folder):
    return Run.create(folder, kind="retrain", command=["test"], config={}, seed=3)


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


def first_loss(folder):
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["loss"]


def test_a_training_minimises_the_chosen_loss_and_records_its_numbers(tmp_path, monkeypatch):
    seen = []
    segmentation_loss = accumulation.segmentation_loss

    def spy(output, target, **options):
        seen.append((output.detach().clone(), target))
        return segmentation_loss(output, target, **options)

    monkeypatch.setattr(accumulation, "segmentation_loss", spy)
    config = dataclasses.replace(CONFIG, class_weights="median_frequency_present")
    with new_run(tmp_path / "run") as run:
        run_training(run, config)
    recorded = record_of(tmp_path / "run")["loss"]
    assert recorded["terms"] == {"cross_entropy": {}}
    weights = torch.tensor(list(recorded["class_weights"].values()))
    assert len(set(weights.tolist())) > 3
    output, target = seen[0]
    expected = F.cross_entropy(output, target, weight=weights, ignore_index=TRAIN.ignore_index)
    assert first_loss(tmp_path / "run") == pytest.approx(expected.item(), rel=1e-5)


def test_resuming_with_a_chosen_loss_equals_never_stopping(tmp_path):
    config = dataclasses.replace(
        CONFIG, loss=("ohem", "lovasz"), class_weights="median_frequency", num_steps=3
    )
    with new_run(tmp_path / "whole") as run:
        run_training(run, config)
    with new_run(tmp_path / "stopped") as run:
        run_training(run, config, stop_after=2)
    with Run.resume(tmp_path / "stopped") as run:
        assert run_training(run, config).is_finished
    whole, stopped = (load_weights(tmp_path / name, "last") for name in ("whole", "stopped"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, stopped[name]), name
    assert record_of(tmp_path / "whole")["loss"] == record_of(tmp_path / "stopped")["loss"]


@pytest.mark.parametrize(
    ("first", "then", "difference"),
    [
        (
            {},
            {"loss": ("dice",)},
            r"loss\.terms\.cross_entropy was \{\}, and is not set now; "
            r"loss\.terms\.dice was not set, and is \{\} now",
        ),
        (
            {"loss": ("dice",)},
            {"loss": ("lovasz",)},
            r"loss\.terms\.dice was \{\}, and is not set now",
        ),
        (
            {"loss": ("focal",)},
            {"loss": ("focal",), "focal_gamma": 1.0},
            r"loss\.terms\.focal\.gamma was 2\.0, and is 1\.0 now",
        ),
    ],
)
def test_a_checkpoint_of_another_loss_is_refused(tmp_path, first, then, difference):
    with new_run(tmp_path / "run") as run:
        run_training(run, dataclasses.replace(CONFIG, **first), stop_after=1)
    before = record_of(tmp_path / "run")["loss"]
    with (
        pytest.raises(UsageError, match=rf"is not of this run .*: {difference}.*\. Resume with"),
        Run.resume(tmp_path / "run") as run,
    ):
        run_training(run, dataclasses.replace(CONFIG, **then))
    assert record_of(tmp_path / "run")["loss"] == before


def test_the_plain_loss_is_recorded_too(tmp_path):
    with new_run(tmp_path / "run") as run:
        run_training(run, CONFIG, stop_after=1)
    assert record_of(tmp_path / "run")["loss"] == {
        "terms": {"cross_entropy": {}},
        "class_weights": None,
    }
