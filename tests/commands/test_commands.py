"""The commands from end to end at their smallest size, and what they refuse of such runs."""

import re
import shutil
import signal
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg import evaluate, predict, retrain, search
from autoseg.architecture import Architecture
from autoseg.commands import search as search_command
from autoseg.errors import FileError, UsageError
from autoseg.runs import StopRequest, load_metrics, load_record
from autoseg.strategies import Report, SearchResult
from autoseg.trained import RetrainedNetwork
from tests.commands.test_runs_index import listed_states
from tests.commands.test_tensorboard import Writer
from tests.one_pixel import one_pixel_figures
from tests.signalled import run_signalled

DATA = ["--image-size", "64", "72", "--train-length", "8"]
SEARCH = [
    *("--num-epochs", "2", "--batch-size", "2", "--val-images", "2"),
    *("--crop-size", "64", "64", *DATA),
]
RETRAIN = [
    *("--num-steps", "2", "--batch-size", "2", "--validate-every", "1", "--val-images", "2"),
    *("--crop-size", "64", "64", *DATA),
]


@pytest.fixture(scope="module")
def writers():
    """The writers that stand for TensorBoard's in the tests of this file."""
    with pytest.MonkeyPatch.context() as patched:
        yield Writer.install(patched)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, writers):
    """A folder in which search and retrain have run once."""
    folder = tmp_path_factory.mktemp("workplace")
    with chdir(folder):
        assert search.main([*SEARCH, "--tensorboard"]) == 0
        assert retrain.main(RETRAIN) == 0
    return folder


@pytest.fixture
def inside(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    return workplace


def only(paths):
    (path,) = paths
    return path


def test_search_leaves_everything_in_its_run_folder(inside, writers):
    folder = only(inside.glob("runs/search-*"))
    assert listed_states(inside / "runs")[folder.name] == "finished"
    architecture = Architecture.load(folder / "architecture.json")
    assert architecture.num_layers == 6  # the tiny preset
    assert len(load_metrics(folder)) == 2
    for name in ("trellis", "cell", "history"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
        assert "</svg>" in (folder / "figures" / f"{name}.svg").read_text()
    drawn = [(name, step) for name, _, step, _ in writers[0].images]
    assert [step for name, step in drawn if name == "figures/trellis"] == [2, 4]  # each epoch's
    record = load_record(folder)
    assert record["state"] == "finished"
    assert record["config"]["preset"] == "tiny"
    assert record["config"]["arch_start_epoch"] == 1  # half of the epochs that were asked for
    assert record["config"]["search_space"]["num_layers"] == 6
    # One epoch of architecture steps, four of them, decides nothing.
    assert record["results"]["doubts"][0].startswith("alpha (1.0000) and beta (1.0000) have hard")
    cost = record["results"]["cost"]
    assert (cost["steps"], cost["evaluations"]) == (4, 6)  # two of the steps have two halves
    assert cost["seconds"] > 0


def test_search_ends_with_its_doubts(monkeypatch, capsys, tmp_path):
    result = SearchResult(
        architecture=Architecture.load("autodeeplab_paper"),
        report=Report(text="- alpha (1.0000) has hardly moved.", doubts=("alpha",)),
        round_name="epoch",
        rounds=1,
        step=1,
        is_finished=True,
        cost={},
    )
    monkeypatch.setattr(search_command, "run_search", lambda *_, **__: (tmp_path, result))
    (tmp_path / "figures").mkdir()
    for name in ("history", "cell"):
        (tmp_path / f"figures/{name}.png").touch()
    assert search.main([]) == 0
    *_, doubt, saved, link, following = capsys.readouterr().out.splitlines()
    assert doubt == "- alpha (1.0000) has hardly moved."
    assert saved.startswith(f"saved {tmp_path}/") and following.startswith("next: ")
    assert link == f"open {(tmp_path / 'figures/cell.png').as_uri()}"


def test_retrain_takes_the_newest_search_and_the_references(inside):
    folder = only(inside.glob("runs/retrain-*"))
    labels = ["deeplabv3plus_resnet101", "duc_hdc_resnet101", "icnet_resnet50", "searched"]
    assert sorted(path.parent.name for path in folder.glob("*/run.json")) == labels
    found = Architecture.load(only(inside.glob("runs/search-*")) / "architecture.json")
    assert Architecture.load(folder / "searched" / "architecture.json") == found
    for label in labels:
        record = load_record(folder / label)
        assert record["state"] == "finished"
        assert record["results"]["step"] == 2
        network = RetrainedNetwork.open(folder / label).network()
        assert network(torch.randn(1, 3, 40, 33)).shape == (1, 12, 40, 33)


def test_retrain_draws_every_network_alone_and_all_together(inside):
    folder = only(inside.glob("runs/retrain-*"))
    labels = ["searched", "deeplabv3plus_resnet101", "duc_hdc_resnet101", "icnet_resnet50"]
    for place, shown in ((folder, labels), *((folder / label, [label]) for label in labels)):
        assert (place / "figures" / "training.png").stat().st_size > 5000
        # matplotlib writes each text beside its outlines.
        svg = (place / "figures" / "training.svg").read_text()
        found = re.findall(r"<!-- (\S+): best (\S+) % at step (\d+) -->", svg)
        results = [load_record(folder / label)["results"] for label in shown]
        assert found == [
            (label, f"{100 * result['best_val_miou']:.2f}", str(result["best_step"]))
            for label, result in zip(shown, results, strict=True)
        ]


@pytest.mark.usefixtures("short_split")
def test_evaluate_prints_and_stores_scores_with_and_without_crf(inside, capsys):
    folder = only(inside.glob("runs/retrain-*")) / "icnet_resnet50"
    (inside / "runs/index.html").unlink()
    assert evaluate.main([str(folder), "--crf", "--num-iterations", "1"]) == 0
    assert len(listed_states(inside / "runs")) == 6  # the search, the retraining and its four
    out = capsys.readouterr().out
    stored = load_record(folder)["results"]["evaluation_val"]
    assert f"mIoU {stored['mean_iou']:.4f} over {stored['num_averaged']} classes" in out
    change = stored["crf"]["mean_iou"] - stored["mean_iou"]
    assert f"with CRF: mIoU {stored['crf']['mean_iou']:.4f} ({change:+.4f})" in out
    assert stored["crf"]["num_iterations"] == 1
    assert "IoU with CRF" in out


def test_predict_writes_class_numbers_in_the_datasets_colours(inside, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    folder = only(inside.glob("runs/retrain-*")) / "searched"
    out = tmp_path / "out"
    assert (
        predict.main([str(folder), str(tmp_path / "photo.png"), "--out", str(out), "--overlay"])
        == 0
    )
    assert str(out / "photo.png") in capsys.readouterr().out
    mask = Image.open(out / "photo.png")
    palette = np.array(load_record(folder)["config"]["palette"], dtype=np.uint8)
    classes = np.asarray(mask)
    assert classes.shape == (30, 41)
    assert classes.max() < 12
    assert np.array_equal(np.asarray(mask.convert("RGB")), palette[classes])
    # Under the image are the names of the classes.
    blend = np.asarray(Image.open(out / "photo_overlay.png"))[:30].astype(float)
    # 0.6 of the mask and 0.4 of the image, rounded.
    assert np.abs(blend - (0.6 * palette[classes] + 0.4 * pixels)).max() <= 0.51
    assert len((out / "classes.txt").read_text().splitlines()) == 12


@pytest.mark.slow
@one_pixel_figures()
def test_search_and_retrain_with_batches_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = ["--batch-size", "1", "--train-length", "4"]
    assert search.main([*SEARCH, *one]) == 0
    assert retrain.main([*RETRAIN, *one, "--network", "deeplabv3plus_resnet50"]) == 0
    assert load_record(only(tmp_path.glob("runs/search-*")))["results"]["epoch"] == 2
    record = load_record(only(tmp_path.glob("runs/retrain-*/deeplabv3plus_resnet50")))
    assert record["results"]["step"] == 2


@one_pixel_figures()
def test_a_search_may_be_resumed_on_another_back_end(inside, tmp_path, capsys):
    folder = only(inside.glob("runs/search-*"))
    assert load_record(folder)["config"]["backend"] == "auto"
    copied = shutil.copytree(folder, tmp_path / "run")
    again = ["--resume", "--out", str(copied)]
    assert search.main([*again, "--no-cuda-graph", "--backend", "torch"]) == 0
    assert "search: back end torch (asked for)" in capsys.readouterr().err


def test_resuming_with_other_settings_is_refused(inside):
    folder = only(inside.glob("runs/search-*"))
    with pytest.raises(UsageError, match=r"started with batch_size = 2, not 4; leave --batch-size"):
        search.main(["--resume", "--out", str(folder), "--batch-size", "4"])


def test_a_finished_search_is_not_overwritten(inside):
    folder = only(inside.glob("runs/search-*"))
    with pytest.raises(UsageError, match="--out"):
        search.main([*SEARCH, "--out", str(folder)])


def test_a_folder_of_several_networks_asks_for_one(inside):
    folder = only(inside.glob("runs/retrain-*"))
    with pytest.raises(UsageError, match="holds several retrained networks; name one of"):
        evaluate.main([str(folder)])


def test_images_that_would_overwrite_each_other_are_refused(inside, tmp_path):
    for suffix in ("png", "jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"a.{suffix}")
    folder = only(inside.glob("runs/retrain-*")) / "searched"
    with pytest.raises(UsageError, match=r"would both write predictions/a\.png; rename one"):
        predict.main([str(folder), str(tmp_path)])


def test_a_file_that_is_no_image_is_named(inside, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    folder = only(inside.glob("runs/retrain-*")) / "searched"
    with pytest.raises(FileError, match=r"broken\.png is not an image that can be read: PNG, JPEG"):
        predict.main([str(folder), str(tmp_path / "broken.png")])


@one_pixel_figures()
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)]
)
def test_a_signal_saves_and_the_command_that_is_named_finishes_with_the_same_result(
    inside, tmp_path, number
):
    words = [*SEARCH, "--out", "run"]
    ended = run_signalled("autoseg.search", words, folder=tmp_path, number=number, num_steps=3)
    assert ended.returncode == 130, ended.stderr
    assert f"{number.name}: stopping after this step" in ended.stderr
    out = tmp_path / "run"
    assert load_record(out)["state"] == "interrupted"
    stopped, _, named = ended.stdout.splitlines()[-1].partition(" Go on: ")
    assert stopped == "stopped at epoch 1, saved."
    picture = out / "figures/trellis.png"
    assert ended.stdout.splitlines()[-2] == f"open {picture.as_uri()}" and picture.is_file()
    assert named == "python -m autoseg.search --resume --out run"
    assert search.main(["--resume", "--out", str(out)]) == 0
    whole = only(inside.glob("runs/search-*"))
    assert Architecture.load(out / "architecture.json") == Architecture.load(
        whole / "architecture.json"
    )
    lines = [
        [{k: v for k, v in line.items() if k != "time"} for line in load_metrics(folder)]
        for folder in (out, whole)
    ]
    assert lines[0] == lines[1]


class StopOnceLogged(StopRequest):
    """Stands in for a StopRequest: a signal that comes when the second network has made a step."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def requested(self):
        log = Path("runs/stopped/unet/metrics.jsonl")
        return log.exists() and bool(log.read_text())


@pytest.mark.slow
@one_pixel_figures()
def test_a_stopped_retraining_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    networks = ["--network", "segnet_basic", "unet", "--width", "0.05", *RETRAIN]
    assert retrain.main([*networks, "--out", "whole"]) == 0
    with monkeypatch.context() as patched:
        patched.setattr("autoseg.commands.retrain.StopRequest", StopOnceLogged)
        assert retrain.main([*networks, "--out", "runs/stopped"]) == 130
    assert "--resume --out runs/stopped" in capsys.readouterr().out
    assert load_record(Path("runs/stopped/segnet_basic"))["state"] == "finished"
    assert load_record(Path("runs/stopped"))["state"] == "interrupted"
    assert load_record(Path("runs/stopped/unet"))["state"] == "interrupted"
    assert retrain.main(["--resume"]) == 0
    for name in ("segnet_basic", "unet"):
        expected = RetrainedNetwork.open(Path("whole") / name).network("last").state_dict()
        for key, tensor in (
            RetrainedNetwork.open(Path("runs/stopped") / name).network("last").state_dict().items()
        ):
            assert torch.equal(tensor, expected[key]), key
    assert load_record(Path("runs/stopped"))["results"]["finished"] == [
        "segnet_basic",
        "unet",
    ]
