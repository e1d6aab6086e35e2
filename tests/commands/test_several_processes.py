"""Retraining and scoring by several processes: what one process does, and no less."""

import os
import signal
from importlib import import_module

import pytest
import torch

from autoseg import evaluate, retrain
from autoseg.cli import run_command
from autoseg.commands.retrain_figures import draw_predictions
from autoseg.data import synthetic
from autoseg.distributed import joined
from autoseg.launch import launch
from autoseg.runs import load_metrics, load_record, load_weights, seed_everything
from autoseg.training import loop
from tests.processes import run_processes
from tests.training.test_loop import CPU, Network, datasets

NETWORK = "unet"
RETRAIN = [
    *("--network", NETWORK, "--width", "0.05", "--num-steps", "4", "--batch-size", "4"),
    *("--validate-every", "2", "--val-images", "3", "--crop-size", "64", "64"),
    *("--loss", "cross_entropy", "dice", "--class-weights", "enet"),
    *("--image-size", "64", "72", "--train-length", "8"),
]


def command(name, words, errors, kill=None, val_images=64):
    """Run a command in one of several processes; return its exit code.

    Args:
        name: Of the command.
        words: Its arguments.
        errors: Folder for what each process says on standard error.
        kill: Step in whose gradients the process of rank 1 is killed.
        val_images: Images of the embedded dataset's val split.
    """
    rank = int(os.environ["RANK"])
    os.dup2(os.open(errors / f"{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    if kill is not None and rank == 1:
        _kill_at(kill)
    synthetic.DEFAULT_LENGTH["val"] = val_images
    main = import_module(f"autoseg.{name}").main
    run_command(lambda _: main(words), joins_processes=True)


def _kill_at(step):
    sum_gradients_, num_done = loop.sum_gradients_, 0

    def counted(parameters):
        nonlocal num_done
        if num_done == step:
            os.kill(os.getpid(), signal.SIGKILL)
        num_done += 1
        sum_gradients_(parameters)

    loop.sum_gradients_ = counted


def metrics(folder):
    lines = load_metrics(folder)
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the same retraining by one process, in `one`, and by two, in `two`."""
    folder = tmp_path_factory.mktemp("workplace")
    assert retrain.main([*RETRAIN, "--out", str(folder / "one")]) == 0
    words = [*RETRAIN, "--out", str(folder / "two")]
    assert run_processes(command, "retrain", words, folder) == [0, 0]
    return folder


def test_two_processes_train_as_one_does(workplace):
    one, two = (metrics(workplace / name / NETWORK) for name in ("one", "two"))
    assert [line["step"] for line in two] == [2, 4]
    for expected, line in zip(one, two, strict=True):
        # float32: sums are taken in another order, and batch norms of few pixels magnify that. The
        # loop's own test has float64.
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    record = load_record(workplace / "two" / NETWORK)
    assert (record["state"], record["processes"]) == ("finished", 2)
    assert "processes" not in load_record(workplace / "one" / NETWORK)


def test_the_first_process_speaks_for_all(workplace):
    assert f"retrain: {NETWORK};" in (workplace / "0.txt").read_text()
    assert (workplace / "1.txt").read_text() == ""


def test_a_process_that_dies_stops_the_job_and_torchrun_starts_it_again(workplace):
    out = workplace / "killed"
    words = [*RETRAIN, "--out", str(out)]
    assert run_processes(command, "retrain", words, workplace, 3) == [130, None]
    last_line = (workplace / "0.txt").read_text().splitlines()[-1]
    assert last_line.startswith("error: another process of this job has ended or does not answer")
    assert last_line.endswith("What was saved is whole: go on with --resume.")
    assert load_record(out)["state"] == load_record(out / NETWORK)["state"] == "interrupted"
    assert run_processes(command, "retrain", words, workplace, num_restarts=1) == [0, 0]
    assert metrics(out / NETWORK) == metrics(workplace / "two" / NETWORK)
    for which in ("best", "last"):
        expected = load_weights(workplace / "two" / NETWORK, which)
        for name, tensor in load_weights(out / NETWORK, which).items():
            assert torch.equal(tensor, expected[name]), name


@pytest.mark.usefixtures("short_split")
def test_a_split_is_scored_as_by_one_process(workplace):
    run = workplace / "one" / NETWORK
    borders = ["--trimap", "2", "--boundary-iou", "--surface-tolerance", "1"]
    words = [str(run), *borders, "--calibration", "--confusions"]
    assert evaluate.main(words) == 0
    expected = load_record(run)["results"]["evaluation_val"]
    assert run_processes(command, "evaluate", words, workplace, val_images=7) == [0, 0]
    found = load_record(run)["results"]["evaluation_val"]
    assert found.pop("calibration_error") == pytest.approx(expected["calibration_error"], rel=1e-9)
    differing = {name for name in found if found[name] != expected[name]}
    assert differing <= {"command"}


def draw():
    """Draw predictions in this process, or in this one of several; return the picture."""
    with joined(launch()):
        seed_everything(1)
        drawn = draw_predictions(Network(), datasets()[1], device=CPU, image_scale=1.0)
    return None if drawn is None else drawn.tolist()


def test_a_picture_that_two_processes_predict_is_that_of_one():
    assert run_processes(draw) == [draw(), None]
