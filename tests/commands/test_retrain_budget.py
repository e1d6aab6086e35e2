"""A retraining by the clock, through the command line: the clock is a fake that steps move on."""

import io
import os
import shutil
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path

import pytest

from autoseg import retrain
from autoseg.commands import retrain as retrain_command
from autoseg.comparison import trained_subject
from autoseg.errors import UsageError
from autoseg.runs import Reckoning, load_metrics, load_record
from autoseg.runs.record import save_record
from autoseg.trained import RetrainedNetwork
from tests.commands.test_retrain_seeds import StopInTheSecond
from tests.data.folder.drawing import binary_folder
from tests.training.test_loop_budget import StepClock

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

NETWORK = [
    *("--dataset", "folder", "--data-root", "set", "--network", "unet", "--width", "0.02"),
    *("--image-scale", "4", "--crop-size", "16", "16", "--batch-size", "2", "--device", "cpu"),
]
SEEDS = (7, 4, 5)


class StopLater(StopInTheSecond):
    """Asks to stop after the first step of the second training, each of which has three."""

    @property
    def requested(self):
        return super().requested and self.num_asked > 6


@contextmanager
def by_clock():
    """Let each step take a second, and nothing else any time."""
    with ExitStack() as stack:
        for patch in StepClock().patched():
            stack.enter_context(patch)
        yield


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with a retraining by three seeds, stopped in the second, and what it said."""
    folder, before = tmp_path_factory.mktemp("budget"), Path.cwd()
    binary_folder(folder / "set")
    os.chdir(folder)
    said = io.StringIO()
    try:
        with pytest.MonkeyPatch.context() as patched, by_clock(), redirect_stderr(said):
            patched.setattr(retrain_command, "StopRequest", StopLater)
            words = [*NETWORK, "--seeds", *map(str, SEEDS), "--budget", "3s", "--out", "run"]
            assert retrain.main(words) == 130
    finally:
        os.chdir(before)
    return folder, said.getvalue()


@pytest.fixture
def said(stopped, tmp_path, monkeypatch):
    """What the stopped retraining said, in a copy of its folder."""
    folder, text = stopped
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return text


def test_a_budget_that_is_gone_on_with_has_what_is_left(said):
    assert load_record(Path("run/unet-seed-4"))["results"]["cost"]["seconds"] == 1.0
    with by_clock():
        assert retrain.main(["--resume", "--out", "run"]) == 0
    for seed in SEEDS:
        run = Path(f"run/unet-seed-{seed}")
        cost = load_record(run)["results"]["cost"]
        assert (cost["steps"], cost["seconds"]) == (3, 3.0)
        # The preset's rate when two of three seconds are spent.
        rate = load_metrics(run)[-1]["learning_rate"]
        assert rate == pytest.approx(0.1 * (1 / 3) ** 0.9)
    # The plan is kept for what begins after the stop, so that a comparison joins the seeds.
    configs = [load_record(Path(f"run/unet-seed-{seed}"))["config"] for seed in SEEDS]
    assert all(config | {"seed": 0} == configs[0] | {"seed": 0} for config in configs)
    plan = configs[0]["plan"]
    assert (plan["reasons"], plan["seconds"]) == ([], 3.0)
    whole = load_record(Path("run"))["config"]["plan"]
    assert whole == {
        "reasons": [], "memory_gib": {"unet": plan["memory_gib"]}, "seconds": {"unet": 3.0}
    }  # fmt: skip
    assert (
        f"retrain: plan: a step takes about {1024 * plan['memory_gib']:.0f} MiB for unet\n" in said
    )
    assert "retrain: plan: 3s for each training (--budget), 9 s in all, and" in said


def test_a_comparison_and_a_model_card_tell_the_steps_that_were_made(said):
    folder = Path("run/unet-seed-7")

    def trained():
        run = RetrainedNetwork.open(folder)
        return trained_subject(run, split="val", limit=1, data_root=None, weights="last").trained

    before = trained()
    assert (before.num_steps, before.best_step) == (3, 3)
    record = load_record(folder)
    record["config"]["plan"]["memory_gib"] = 1.0  # by another version of torch
    save_record(folder, record)
    assert trained().training_sha256 == before.training_sha256
    record["config"]["budget"] = "4s"
    save_record(folder, record)
    assert trained().training_sha256 != before.training_sha256
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    assert "- num steps: 3\n- budget: 3s\n" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--resume", "--out", "run", "--budget", "4s"],
            r"started with budget = 3s, not 4s; leave",
        ),
        (["--resume", "--out", "run", "--num-steps", "9"], r"with num_steps = 1200, not 9; leave"),
        (
            ["--resume", "--out", "run", "--num-steps", "1200"],
            r"--budget 3s and --num-steps 1200: each says when a training ends; give one of them\.",
        ),
        (
            [*NETWORK, "--budget", "3s", "--num-steps", "9"],
            r"--budget 3s and --num-steps 9: each says when a training ends; give one of them\.",
        ),
        (
            [*NETWORK, "--val-share", "0.5"],
            r"--val-share 0\.5: without --budget a retraining validates by its steps alone; give "
            r"--validate-every, or add --budget\.",
        ),
        ([*NETWORK, "--budget", "3"], r"budget = '3': it must be a time above 0, a number with s,"),
    ],
)
def test_two_ends_of_a_training_are_refused(said, words, message):
    before = sorted(Path().rglob("*"))
    with pytest.raises(UsageError, match=message):
        retrain.main(words)
    assert sorted(Path().rglob("*")) == before


def test_a_training_says_that_it_takes_longer_than_was_reckoned(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    binary_folder(tmp_path / "set")
    monkeypatch.setattr(Reckoning, "surprise", lambda *_, **__: "slow")
    for end in (("--num-steps", "1"), ("--budget", "1s")):
        with by_clock():
            assert retrain.main([*NETWORK, *end, "--out", f"run{end[0]}"]) == 0
        # What ends by the clock takes the time that was asked for.
        assert ("\n[1/1] unet: slow\n" in capsys.readouterr().err) == (end[0] == "--num-steps")
