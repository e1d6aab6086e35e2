"""A run folder that cannot be is refused before there is anything in it, and before any work."""

import os

import pytest

from autoseg.errors import UsageError
from autoseg.retrain import main as retrain
from autoseg.runs import Run
from autoseg.runs.folders import require_new_run
from autoseg.search import main as search
from tests.test_atomic import as_nobody

_OF_PYTEST = (
    "pytest",
    "popen",
    "test_",
)  # beginnings of the folders that it makes, and its workers


def test_a_folder_inside_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as error:
        require_new_run(tmp_path / "file/a/b")
    (file,) = tmp_path.iterdir()
    assert str(error.value) == (
        f"run folder {file}/a/b cannot be made: {file} is a file; use another --out."
    )


def test_a_new_folder_is_not_made_yet(tmp_path):
    require_new_run(tmp_path / "a/b")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_goes_on_is_in_use_and_one_that_ended_is_there(tmp_path):
    settings = {"kind": "search", "command": [], "config": {}, "seed": 0}
    with Run.create(tmp_path / "a", **settings) as run:
        with pytest.raises(UsageError, match=rf"in use by process {os.getpid()} on "):
            require_new_run(tmp_path / "a")
        run.finish()
    with pytest.raises(UsageError, match=r"already holds a search run \(finished, "):
        require_new_run(tmp_path / "a")


def test_a_folder_that_may_not_be_written_to(tmp_path):
    kept, hidden = tmp_path / "kept", tmp_path / "hidden"
    for folder, mode in ((kept, 0o555), (hidden, 0o000)):
        (folder / "inside").mkdir(parents=True)
        folder.chmod(mode)
    for path in (tmp_path, *tmp_path.parents):  # so that nobody may look into it
        if os.geteuid() == path.stat().st_uid and path.name.startswith(_OF_PYTEST):
            path.chmod(0o755)
    for folder, named in ((kept / "a", kept), (hidden / "inside/a", hidden)):
        rule = rf"nothing can be written to {named}: Permission denied; name another folder"
        with as_nobody(), pytest.raises(OSError, match=rule):
            require_new_run(folder)
    hidden.chmod(0o755)


@pytest.mark.parametrize("command", [search, retrain])
def test_commands_look_at_the_folder_before_they_look_for_images(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    data = ["--dataset", "folder", "--data-root", "nowhere"]
    network = ["--network", "segnet_basic"] if command is retrain else []
    with pytest.raises(UsageError, match=r"run folder runs is a file; use another --out"):
        command([*data, *network])
    with pytest.raises(UsageError, match=r"runs/a cannot be made: runs is a file"):
        command([*data, *network, "--out", "runs/a"])
    with pytest.raises(UsageError, match=r"nowhere does not exist"):
        command([*data, *network, "--out", "elsewhere"])
