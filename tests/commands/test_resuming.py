"""What is resumed is the run that was started: its settings, networks and images."""

import os
import shutil
from pathlib import Path

import pytest

from autoseg import retrain, search
from autoseg.architecture import Architecture
from autoseg.commands import retrain_plan
from autoseg.data import SyntheticStreets
from autoseg.errors import FileError, UsageError
from autoseg.runs import Run, load_record
from autoseg.runs.folders import new_folder
from autoseg.runs.record import save_record

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

DATA = ["--image-size", "64", "72", "--train-length", "4", "--batch-size", "2"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a search of one epoch, and a retraining of one step."""
    folder = tmp_path_factory.mktemp("resuming")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert search.main([*DATA, "--num-epochs", "1", "--val-images", "1"]) == 0
        (found,) = Path("runs").glob("search-*")
        Architecture.load(found / "architecture.json").save(Path("mine.json"))
        small = ["--num-steps", "1", "--val-images", "1", "--out", "retrained"]
        networks = ["--architecture", "mine.json", "--network", "segnet_basic"]
        assert retrain.main([*DATA, *small, *networks]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def inside(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    return workplace


def search_folder():
    (folder,) = Path("runs").glob("search-*")
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "unett"], r"unknown network 'unett'; did you mean 'unet'"),
        (
            ["--network", "unet"],
            r"retrained was started with the networks mine, segnet_basic, not unet; leave "
            r"--network and --architecture out, or start a new run without --resume\.",
        ),
        (["--architecture", "autodeeplab_paper"], r"mine, segnet_basic, not autodeeplab_paper;"),
        (["--width", "0.5"], r"started with width = 0\.125, not 0\.5; leave --width out"),
        (["--filter-multiplier", "9"], r"started with filter_multiplier = 8, not 9"),
        (["--drop-path-keep", "0.5"], r"started with drop_path_keep = 1\.0, not 0\.5"),
        (["--crf-layer"], r"started with crf_layer = no, not yes"),
        (["--train-length", "9"], r"started with train_length = 4, not 9"),
        (["--dataset", "camvid"], r"started with dataset = synthetic, not camvid"),
        (["--preset", "paper"], r"started with preset = tiny, not paper"),
    ],
)
def test_resuming_with_anything_else_is_refused(inside, arguments, message):
    before = Path("retrained/run.json").read_text()
    with pytest.raises(UsageError, match=message):
        retrain.main(["--resume", "--out", "retrained", *arguments])
    assert Path("retrained/run.json").read_text() == before


def test_an_earlier_record_without_sizes_has_them_in_its_networks(inside, tmp_path):
    copied = shutil.copytree("retrained", tmp_path / "run")
    record = load_record(copied)
    for name in ("width", "filter_multiplier", "drop_path_keep", "images"):
        del record["config"][name]
    save_record(copied, record)
    with pytest.raises(UsageError, match=r"started with filter_multiplier = 8, not 9"):
        retrain.main(["--resume", "--out", str(copied), "--filter-multiplier", "9"])


def test_another_architecture_of_the_same_name_is_refused(inside, tmp_path):
    Architecture.load("autodeeplab_paper").save(tmp_path / "mine.json")
    again = ["--resume", "--out", "retrained", "--network", "segnet_basic", "--architecture"]
    with pytest.raises(UsageError, match=r"was started with another architecture as mine; leave"):
        retrain.main([*again, str(tmp_path / "mine.json")])


def test_saying_the_same_again_is_no_other_wish(inside, tmp_path, capsys):
    copied = shutil.copytree("retrained", tmp_path / "run")
    same = ["--network", "segnet_basic", "--architecture", "mine.json", "--preset", "auto"]
    again = ["--resume", "--out", str(copied), *DATA, *same]
    assert retrain.main([*again, "--width", "0.125", "--num-workers", "0", "--device", "cpu"]) == 0
    assert "segnet_basic: val mIoU" in capsys.readouterr().out


@pytest.mark.parametrize("command", [search, retrain])
def test_other_images_are_refused(inside, tmp_path, monkeypatch, command):
    folder = search_folder() if command is search else Path("retrained")
    copied = shutil.copytree(folder, tmp_path / "run")
    before = (copied / "run.json").read_text()
    # The same settings draw other scenes, as a folder may hold other files than it did.
    init = SyntheticStreets.__init__
    monkeypatch.setattr(
        SyntheticStreets, "__init__", lambda self, **options: init(self, **options | {"seed": 5})
    )
    message = r"was started on other images: train was 4 images, SHA-256 \w{16}, and is 4 images"
    with pytest.raises(UsageError, match=message):
        command.main(["--resume", "--out", str(copied)])
    assert (copied / "run.json").read_text() == before


def test_a_checkpoint_is_bound_to_settings_and_images(inside, tmp_path):
    copied = shutil.copytree(search_folder(), tmp_path / "run")
    record = load_record(copied)
    record["config"] |= {"weight_lr": 0.5}
    save_record(copied, record)  # a record that is whole, and another run's
    with pytest.raises(UsageError, match=r"settings\.weight_lr.* 0\.1.* 0\.5"):
        search.main(["--resume", "--out", str(copied)])
    record["config"] |= {"weight_lr": 0.1, "train_length": 6, "images": {}}
    save_record(copied, record)
    with pytest.raises(UsageError, match=r"images\.train.*4 images.*6 images"):
        search.main(["--resume", "--out", str(copied)])


def test_a_retraining_takes_images_and_preset_of_its_search(inside, monkeypatch, capsys):
    chosen = []

    def stop(plan):
        chosen.append(plan.request)
        raise UsageError("enough")

    monkeypatch.setattr(retrain_plan.RetrainPlan, "note", property(stop))
    found = str(search_folder() / "architecture.json")
    for arguments in (
        [],
        ["--architecture", found],
        ["--architecture", found, "--train-length", "5", "--preset", "paper"],
        ["--network", "unet"],
        ["--architecture", "mine.json"],  # lies in no run folder
    ):
        with pytest.raises(UsageError, match="enough"):
            retrain.main(arguments)
    sizes = [(request.image_size, request.train_length, request.preset) for request in chosen]
    searched, own = ((64, 72), 4, "tiny"), (None, None, "tiny")
    assert sizes == [searched, searched, ((64, 72), 5, "paper"), own, own]
    assert "retrain: dataset synthetic and preset as in runs/search-" in capsys.readouterr().err
    # A dataset that the search did not have comes without the search's options.
    monkeypatch.delenv("AUTOSEG_DATA", raising=False)
    with pytest.raises(UsageError, match="camvid: no data folder was given"):
        retrain.main(["--dataset", "camvid"])


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "a/b", "a\x00b"])
def test_a_space_of_any_name_gets_a_folder_under_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = new_folder("search", name)
    assert folder.parent.name == "runs"
    assert folder.name.startswith("search-")
    folder.mkdir(parents=True)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("command", "kind", "config", "message"),
    [
        (search, "search", {}, r"it has no field 'config\.search_space'"),
        (search, "search", {"search_space": None}, r"config\.search_space is None; it must be"),
        (search, "search", {"search_space": {}}, r"missing field 'name' of the search"),
        (retrain, "retrain-set", {}, r"it has no field 'config\.networks'"),
        (retrain, "retrain-set", {"networks": [3]}, r"config\.networks\[0\] is 3; it must be"),
        (
            retrain,
            "retrain-set",
            {"networks": [], "plan": {"reasons": [], "memory_gib": {"unet": "x"}}},
            r"config\.plan\.memory_gib\.unet is 'x'; it must be a number",
        ),
        (retrain, "retrain-set", {"networks": [{}]}, r"it has no field 'network\.label'"),
        (
            retrain,
            "retrain-set",
            {"networks": [{"label": "../../x", "name": "unet"}]},
            r"network label '\.\./\.\./x' cannot be the name of a run folder",
        ),
    ],
)
def test_a_record_that_cannot_be_resumed_names_file_and_field(
    tmp_path, command, kind, config, message
):
    folder = tmp_path / "deep" / "run"
    with Run.create(folder, kind=kind, command=["x"], config=config, seed=0):
        pass
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileError, match=rf"run\.json.*{message}"):
        command.main(["--resume", "--out", str(folder), "--device", "cpu"])
    assert sorted(tmp_path.rglob("*")) == before
