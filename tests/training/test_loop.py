"""The training loop: resuming equals never stopping, and what it promises to its users."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from autoseg.config import TrainingConfig
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.runs import Run, StopRequest, load_weights, save_checkpoint, seed_everything
from autoseg.training import (
    DivergedError,
    train,
    waiting,
)
from tests.data.unlabelled import Unlabelled

CONFIG = TrainingConfig(
    num_steps=6, batch_size=2, crop_size=(16, 16), validate_every=2, val_images=2, learning_rate=0.1
)
CPU = torch.device("cpu")


class Flag(StopRequest):
    """Stands in for a StopRequest: asks to stop when `after` steps were seen."""

    def __init__(self, after=None):
        super().__init__()
        self.after, self.asked = after, 0

    @property
    def requested(self):
        self.asked += 1
        return self.after is not None and self.asked > self.after


class Network(nn.Sequential):
    """Small, with dropout so that the random state matters, and with batch norm."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(6, 12, 1),
        )
        self.progress = []

    def set_training_progress(self, progress):
        self.progress.append(progress)


def datasets():
    return tuple(
        build_dataset("synthetic", split=split, image_size=(24, 32), length=length)
        for split, length in (("train", 5), ("val", 3))
    )


def run_training(run, *, network=None, config=CONFIG, stop=None, labelled=None, device=CPU):
    seed_everything(3)
    network = network or Network()
    train_dataset, val_dataset = datasets()
    if labelled is not None:
        val_dataset = Unlabelled(val_dataset, range(3))
        val_dataset.labelled = labelled
    result = train(
        network,
        run=run,
        config=config,
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        identity={"network": "small"},
        device=device,
        stop=stop or Flag(),
        description="test",
    )
    return network, result


def new_run(folder):
    return Run.create(folder, kind="retrain", command=["test"], config={}, seed=3)


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def assert_same_run(folder, other):
    assert metrics(folder) == metrics(other)
    for which in ("best", "last"):
        weights = load_weights(other, which)
        for name, tensor in load_weights(folder, which).items():
            assert torch.equal(tensor, weights[name]), name


@pytest.fixture
def uninterrupted(tmp_path):
    with new_run(tmp_path / "whole") as run:
        _, result = run_training(run)
    assert result.is_finished
    return tmp_path / "whole", result


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_stopping_and_resuming_gives_the_same_result_bit_for_bit(
    tmp_path, uninterrupted, stop_after
):
    whole, expected = uninterrupted
    folder = tmp_path / "stopped"
    with new_run(folder) as run:
        _, result = run_training(run, stop=Flag(stop_after))
        assert (result.step, result.is_finished) == (stop_after, False)
    with Run.resume(folder) as run:
        _, result = run_training(run)
    assert result == expected
    assert_same_run(folder, whole)


def test_a_kill_between_checkpoints_repeats_the_lost_steps(tmp_path, uninterrupted, monkeypatch):
    whole, expected = uninterrupted
    folder = tmp_path / "killed"

    class Killed(Exception):
        pass

    log = Run.log

    def log_then_die(self, **values):
        log(self, **values)
        if values["step"] == 4:  # after the line is logged, before the checkpoint of step 4
            raise Killed

    monkeypatch.setattr(Run, "log", log_then_die)
    with pytest.raises(Killed), new_run(folder) as run:
        run_training(run)
    monkeypatch.undo()
    assert len(metrics(folder)) == 2
    with Run.resume(folder) as run:
        _, result = run_training(run)
    assert result == expected
    assert_same_run(folder, whole)


def test_the_network_is_told_its_progress(tmp_path):
    with new_run(tmp_path / "run") as run:
        network, _ = run_training(run)
    assert network.progress == [step / 6 for step in range(6)]


def test_best_weights_are_those_of_the_best_validation(tmp_path, uninterrupted):
    folder, result = uninterrupted
    scores = {line["step"]: line["val_miou"] for line in metrics(folder)}
    assert result.best_val_miou == max(scores.values())
    assert scores[result.best_step] == result.best_val_miou
    said = f"val mIoU {result.best_val_miou:.4f} at step {result.best_step}"
    assert result.best_as("val mIoU") == said
    last, best = load_weights(folder, "last"), load_weights(folder, "best")
    is_last_best = all(torch.equal(last[name], best[name]) for name in last)
    assert is_last_best == (result.best_step == 6)


def test_slow_loading_is_said_with_what_helps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(waiting, "_MIN_BATCHES", 1)
    monkeypatch.setattr(waiting, "MAX_SHARE", 0.0)
    with new_run(tmp_path / "run") as run:
        run_training(run)
    said = capsys.readouterr().err
    assert said.count("% of the time went by waiting for images") == 1
    assert "--num-workers 2 loads beside the training" in said


def test_bf16_on_a_cpu_is_fp32_but_for_rounding(tmp_path, uninterrupted):
    with new_run(tmp_path / "bf16") as run:
        run_training(run, config=dataclasses.replace(CONFIG, precision="bf16"))
    exact, rounded = (load_weights(tmp_path / name, "last") for name in ("whole", "bf16"))
    assert not torch.equal(exact["0.weight"], rounded["0.weight"])
    for name, tensor in rounded.items():
        assert tensor.dtype == exact[name].dtype, name  # weights stay as they are
        error = (tensor.double() - exact[name].double()).norm()
        # Maps round by 2^-9, gradients by more where a ReLU flips; over six steps.
        assert error <= 0.02 * exact[name].double().norm() + 0.02, name


def test_training_lowers_the_loss(tmp_path):
    config = dataclasses.replace(CONFIG, num_steps=40, validate_every=20)
    with new_run(tmp_path / "run") as run:
        run_training(run, config=config)
    first, last = (line["loss"] for line in metrics(tmp_path / "run"))
    assert last < first < 3.5  # log(12) = 2.48 is the loss of a uniform prediction


def test_divergence_stops_and_leaves_the_checkpoint(tmp_path):
    config = dataclasses.replace(CONFIG, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"with learning rate"), new_run(tmp_path / "r") as run:
        run_training(run, config=config)
    assert json.loads((tmp_path / "r" / "run.json").read_text())["state"] == "failed"


def test_a_validation_that_gives_nan_is_a_divergence_and_nothing_is_saved(tmp_path, monkeypatch):
    network = Network()
    save = Run.save_checkpoint

    def save_then_spoil(self, *args, **options):
        save(self, *args, **options)
        network[1].running_mean.fill_(float("nan"))  # a training does not read it

    monkeypatch.setattr(Run, "save_checkpoint", save_then_spoil)
    folder = tmp_path / "run"
    rule = r"output holds NaN at the validation after step 4\."
    with pytest.raises(DivergedError, match=rule), new_run(folder) as run:
        run_training(run, network=network)
    assert [line["step"] for line in metrics(folder)] == [2]
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-00000002.pt"]
    assert all(tensor.isfinite().all() for tensor in load_weights(folder, "last").values())


def test_without_labels_the_last_weights_are_the_best(tmp_path, uninterrupted):
    """A void validation neither stops a training nor leaves it without weights."""
    folder = tmp_path / "void"
    rule = "no pixel of the val split of synthetic is labelled"
    with pytest.warns(UserWarning, match=rule), new_run(folder) as run:
        run_training(run, stop=Flag(3), labelled=())
    with pytest.warns(UserWarning, match=rule), Run.resume(folder) as run:
        _, result = run_training(run, labelled=())
    assert (result.step, result.best_step) == (6, 6) and math.isnan(result.best_val_miou)
    assert result.best_as("val mIoU") == (
        "val mIoU undefined, as no pixel of the images that were to be scored is labelled; "
        "the best weights are the last ones, of step 6"
    )
    assert [line["val_miou"] for line in metrics(folder)] == [None] * 3
    whole, _ = uninterrupted
    expected = load_weights(whole, "last")
    for which in ("best", "last"):
        for name, tensor in load_weights(folder, which).items():
            assert torch.equal(tensor, expected[name]), name


def test_images_with_labels_are_validated_where_the_chosen_ones_have_none(tmp_path):
    # Two of three evenly spread: 0 and 1.
    with (
        pytest.warns(UserWarning, match="1 of the 1 that have some are taken"),
        new_run(tmp_path / "run") as run,
    ):
        _, result = run_training(run, labelled=(2,))
    assert 0 <= result.best_val_miou <= 1


def respell(folder, step, **changes):
    """Write a checkpoint again, with another state under a right checksum."""
    content = torch.load(folder / f"checkpoint-{step:08}.pt", weights_only=True)
    save_checkpoint(
        folder,
        {**content["state"], **changes},
        identity=content["identity"],
        step=step,
        metrics_bytes=content["metrics_bytes"],
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": {}}, r"Error\(s\) in loading state_dict for Network"),
        ({"optimizer": {"state": {}}}, r"'param_groups'"),
        ({"rng": {"python": (3, (1, 2), None)}}, r"state vector is the wrong size"),
        ({"rng": {}}, r"'python'"),
        ({"loss_sum": "x"}, r"loss_sum is 'x'; it must be a number"),
        ({"best_val_miou": None}, r"best_val_miou is None; it must be a number"),
    ],
)
def test_a_checkpoint_with_a_foreign_state_falls_back(tmp_path, uninterrupted, changes, reason):
    whole, expected = uninterrupted
    folder = tmp_path / "run"
    with new_run(folder) as run:
        run_training(run, stop=Flag(3))
    respell(folder, 3, **changes)
    rule = rf"00000003\.pt is not a checkpoint of this run: {reason}.*00000002\.pt instead"
    with pytest.warns(UserWarning, match=rule), Run.resume(folder) as run:
        _, result = run_training(run)
    assert result == expected
    assert_same_run(folder, whole)


def test_a_checkpoint_of_before_the_loss_was_recorded_is_of_the_plain_one(tmp_path):
    with new_run(tmp_path / "run") as run:
        run_training(run, stop=Flag(3))
    path = tmp_path / "run" / "checkpoint-00000003.pt"
    content = torch.load(path, weights_only=True)
    del content["identity"]["loss"]
    save_checkpoint(
        path.parent, content["state"], identity=content["identity"], step=3, metrics_bytes=0
    )
    other = dataclasses.replace(CONFIG, loss=("dice",))
    with (
        pytest.raises(UsageError, match=r"loss\.terms\.cross_entropy was \{\}, and is not set now"),
        Run.resume(path.parent) as run,
    ):
        run_training(run, config=other)
    with Run.resume(path.parent) as run:
        assert run_training(run)[1].is_finished
