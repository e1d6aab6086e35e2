"""Where a new run goes, and which one is gone on with."""

import pytest

from autoseg.jobs.resuming import new_folder


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "a/b", "a\x00b"])
def test_a_space_of_any_name_gets_a_folder_under_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = new_folder("search", name)
    assert folder.parent.name == "runs"
    assert folder.name.startswith("search-")
    folder.mkdir(parents=True)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
