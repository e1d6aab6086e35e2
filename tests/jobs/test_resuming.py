"""Where a new run goes, and which one is gone on with."""

import pytest

from autoseg import retrain, search
from autoseg.errors import FileError
from autoseg.jobs.resuming import new_folder
from autoseg.runs import Run


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
