"""One retraining with several seeds is what as many retrainings with one seed each are."""

import io
from contextlib import redirect_stdout

import pytest
import torch

import autoseg
from autoseg import retrain
from autoseg.commands import retrain as retrain_command
from autoseg.commands.retrain_plan import PlannedTraining
from autoseg.commands.retrain_seeds import scores_over_seeds
from autoseg.errors import UsageError
from autoseg.runs import StopRequest, load_record, load_weights
from autoseg.trained import NetworkChoice
from autoseg.training import TrainingResult
from tests.cli.test_console import HYPERLINK, printed_to_a_terminal
from tests.commands.test_tensorboard import Writer

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

ARGUMENTS = [
    *("--network", "unet", "--width", "0.02", "--num-steps", "2", "--batch-size", "2"),
    *("--image-size", "32", "48", "--train-length", "2", "--crop-size", "32", "32"),
    *("--validate-every", "1", "--val-images", "1", "--device", "cpu"),
]


class StopInTheSecond(StopRequest):
    """Stands for StopRequest; asked before each training and after each step of it."""

    num_asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def requested(self):
        self.num_asked += 1
        return self.num_asked > 4


@pytest.fixture(scope="module")
def writers():
    """The writers that stand for TensorBoard's in the tests of this file."""
    with pytest.MonkeyPatch.context() as patched:
        yield Writer.install(patched)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, writers):
    """A folder with a retraining by seed 4 in `one`, and one by 7 and 4, stopped, in `many`.

    The one is shown in TensorBoard, the other is not.
    """
    folder = tmp_path_factory.mktemp("workplace")
    one = [*ARGUMENTS, "--seed", "4", "--tensorboard", "--out", str(folder / "one")]
    many = [*ARGUMENTS, "--seeds", "7", "4", "--out", str(folder / "many")]
    assert retrain.main(one) == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retrain_command, "StopRequest", StopInTheSecond)
        said = io.StringIO()
        with redirect_stdout(said):
            assert retrain.main(many) == 130
    # What there is so far is shown before the line to go on with.
    link, last = said.getvalue().splitlines()[-2:]
    assert link == f"open {(folder / 'many/figures/training.png').as_uri()}"
    assert last.startswith("stopped, saved. Go on: ")
    return folder


def test_several_seeds_go_on_and_end_as_each_alone(workplace, capsys, monkeypatch):
    folder = workplace / "many"
    record = load_record(folder)
    assert (record["seed"], record["config"]["seeds"]) == (7, [7, 4])
    assert record["results"]["finished"] == ["unet-seed-7"]
    monkeypatch.setenv("TERM", "xterm-256color")
    sent = printed_to_a_terminal(lambda: retrain.main(["--resume", "--out", str(folder)]))
    assert "[2/2] unet seed 4: 2/2 steps" in capsys.readouterr().err
    assert ", over the seeds 7, 4\n" in sent
    picture = folder / "figures/training.png"
    assert HYPERLINK.findall(sent) == [(picture.as_uri(),) * 2] and picture.is_file()
    alone, member = (load_record(workplace / each) for each in ("one/unet", "many/unet-seed-4"))
    # All settings agree, so that a comparison joins them, and the same weights came of them, with
    # and without TensorBoard.
    assert member["config"] == alone["config"] and member["seed"] == alone["seed"] == 4
    assert load_record(folder / "unet-seed-7")["config"] == {**alone["config"], "seed": 7}
    expected = load_weights(workplace / "one/unet", "last")
    found = load_weights(workplace / "many/unet-seed-4", "last")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_tensorboard_shows_the_predictions_of_each_validation(workplace, writers):
    (writer,) = writers
    drawn = [(name, step) for name, _, step, _ in writer.images]
    assert drawn == [
        ("figures/predictions", 1), ("figures/predictions", 2), ("figures/training", 2)
    ]  # fmt: skip
    assert (workplace / "one/unet/figures/predictions.png").is_file()
    assert not (workplace / "many/unet-seed-7/figures/predictions.png").exists()


def test_a_model_card_lies_beside_what_was_trained(workplace):
    card = (workplace / "many/unet-seed-7/model_card.md").read_text(encoding="utf-8")
    record = load_record(workplace / "many/unet-seed-7")
    assert card.startswith("# unet\n") and "- seed: 7\n" in card
    assert f"{100 * record['results']['best_val_miou']:.2f} % mIoU on the val split" in card
    assert "### unet-seed-7/\n" in card and 'autoseg.load("unet-seed-7/")' in card
    assert len(autoseg.load(workplace / "many/unet-seed-7/").class_names) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "1", "0", "1"], r"--seeds 1 0 1: seed 1 would .* name each seed once"),
        (["--seeds", "1", "2", "--seed", "0"], r"--seed 0 and --seeds 1 2: .* give one of them"),
        (["--seeds", "-1"], r"--seeds must be from 0 to"),
    ],
)
def test_seeds_that_say_nothing_new_are_refused(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        retrain.main([*ARGUMENTS, *words])
    assert not list(tmp_path.iterdir())


def test_other_seeds_are_refused_when_a_retraining_goes_on(workplace):
    with pytest.raises(UsageError, match=r"was started with seeds = 7 4, not 7 4 5; leave --seeds"):
        retrain.main(["--resume", "--out", str(workplace / "many"), "--seeds", "7", "4", "5"])


def test_scores_over_seeds_leave_out_what_is_undefined():
    def planned(label, seed):
        choice = NetworkChoice(label=label, name="unet")
        return PlannedTraining(choice=choice, seed=seed, name=f"{label}{seed}", title="")

    trainings = [planned(label, seed) for seed in (0, 1, 2) for label in ("a", "b")]
    mious = {"a0": 0.25, "a1": float("nan"), "a2": 0.75, "b0": 0.5}
    finished = {
        name: TrainingResult(step=1, best_step=1, best_val_miou=miou, is_finished=True)
        for name, miou in mious.items()
    }
    scores = scores_over_seeds(trainings, finished)
    # The deviation of 1/4 and 3/4 is the square root of 1/8.
    expected = "0.5000, standard deviation 0.3536, over the seeds 0, 2"
    assert {label: str(each) for label, each in scores.items()} == {"a": expected}
