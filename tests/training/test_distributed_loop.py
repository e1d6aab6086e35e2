"""The training loop in several processes equals that in one, where nothing is rounded away."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from autoseg.contract import TrainingLogits
from autoseg.distributed import joined, process_rank
from autoseg.launch import launch
from autoseg.runs import load_metrics, load_record, load_weights, open_run, seed_everything
from autoseg.training import DivergedError, train
from tests.processes import run_processes
from tests.training.test_loop import CONFIG, CPU, Flag, datasets

CONFIG = dataclasses.replace(
    CONFIG,
    batch_size=4,
    gradient_clip=1.0,
    ema_decay=0.5,
    cutmix=0.5,
    loss=("focal", "dice"),
    class_weights="enet",
)


class Precise(nn.Module):
    """Two maps of scores in float64, one of them coarser, behind batch norms."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.score = nn.Sequential(nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 12, 1))
        self.coarse = nn.Conv2d(6, 12, 3, stride=2)
        self.double()

    def forward(self, images):
        features = self.stem(images.double())
        logits = self.score(features)
        if not self.training:
            return logits
        return TrainingLogits(logits, (self.coarse(features),), (0.4,))


class Failing(Precise):
    """Its second gradient is NaN, in the process of rank 1 alone."""

    def __init__(self):
        super().__init__()
        steps = itertools.count(1)
        fails = process_rank() == 1
        self.coarse.weight.register_hook(
            lambda grad: grad * math.nan if next(steps) == 2 and fails else grad
        )


def train_once(folder, config, stop_after=None, resume=False, network_type=Precise):
    """Train in this process, or in this one of several."""
    seed_everything(3)
    train_dataset, val_dataset = datasets()
    network = network_type()
    with open_run(
        folder, resume=resume, kind="retrain", command=["test"], config={}, seed=3
    ) as run:
        return train(
            network,
            run=run,
            config=config,
            train_dataset=train_dataset,
            val_dataset=val_dataset,
            identity={"network": "precise"},
            device=CPU,
            stop=Flag(stop_after),
            description="test",
        )


def train_together(*arguments, **options):
    with joined(launch()):
        return train_once(*arguments, **options).step, process_rank()


def test_two_processes_train_as_one_does(tmp_path):
    train_once(tmp_path / "one", CONFIG)
    assert run_processes(train_together, tmp_path / "two", CONFIG) == [(6, 0), (6, 1)]
    one, two = load_metrics(tmp_path / "one"), load_metrics(tmp_path / "two")
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-9)
    assert [line["val_miou"] for line in two] == [line["val_miou"] for line in one]
    expected = load_weights(tmp_path / "one", "last")
    for name, tensor in load_weights(tmp_path / "two", "last").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-8, atol=1e-10, msg=name)


def fail_together(folder):
    with joined(launch()), pytest.raises(DivergedError) as caught:
        train_once(folder, CONFIG, network_type=Failing)
    return str(caught.value)


def test_a_gradient_that_is_nan_in_one_process_ends_all_alike(tmp_path):
    first, second = run_processes(fail_together, tmp_path / "run")
    assert first == second
    assert "holds NaN or infinity after step 2, though the loss was finite" in first
    assert load_record(tmp_path / "run")["state"] == "failed"
    assert not list((tmp_path / "run").glob("checkpoint-*"))
