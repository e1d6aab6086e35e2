import json
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.runs.record import RECORD_FORMAT_VERSION, find_runs, load_record, new_record
from autoseg.runs.record import save_record as save


def make(folder: Path, **changes):
    folder.mkdir(parents=True)
    record = new_record(kind="search", command=["x", "--y"], config={"lr": (1, Path("p"))}, seed=3)
    record.update(changes)
    save(folder, record)
    return record


def test_round_trip(tmp_path):
    record = make(tmp_path / "a")
    loaded = load_record(tmp_path / "a")
    assert loaded == record
    assert loaded["command"] == ["x", "--y"]
    assert loaded["config"] == {"lr": [1, "p"]}
    assert (loaded["seed"], loaded["state"], loaded["results"]) == (3, "running", {})
    assert {"git", "versions", "hardware"} <= loaded.keys()


def test_a_newer_version_is_refused(tmp_path):
    newer = RECORD_FORMAT_VERSION + 1
    make(tmp_path / "a", format_version=newer)
    rule = f"has format version {newer}, this autoseg reads up to {newer - 1}: update autoseg"
    with pytest.raises(UsageError, match=rule):
        load_record(tmp_path / "a")


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run: .*run\.json does not exist"):
        load_record(tmp_path)
    with pytest.raises(UsageError, match=r"holds no run"):
        load_record(tmp_path / "missing")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"format_version": 1, "kind"', r"run\.json is damaged: .*line 1 column"),
        ("[1]", r"it has no format_version"),
        ('{"format_version": 1, "kind": "search"}', r"damaged: it has no field 'command'"),
    ],
)
def test_a_damaged_record(tmp_path, text, rule):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=rule):
        load_record(tmp_path)


def test_find_runs_oldest_first_with_filters(tmp_path):
    # Names in another order than the times, so that sorting by name would fail.
    make(tmp_path / "c", created="2024-01-01T00:00:00.000000+00:00", state="finished")
    make(tmp_path / "deep" / "er" / "a", created="2024-01-03T00:00:00.000000+00:00")
    make(tmp_path / "b", created="2024-01-02T00:00:00.000000+00:00", kind="retrain")
    a, b, c = tmp_path / "deep" / "er" / "a", tmp_path / "b", tmp_path / "c"
    assert find_runs(tmp_path) == [c, b, a]
    assert find_runs(tmp_path, kind="search") == [c, a]
    assert find_runs(tmp_path, kind="search", state="finished") == [c]
    assert find_runs(tmp_path / "missing") == []


def test_find_runs_names_a_damaged_one_and_goes_on(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b")
    (tmp_path / "b" / "run.json").write_text("{")
    with pytest.warns(UserWarning, match=r"left out .*b: .*run\.json is damaged"):
        assert find_runs(tmp_path) == [tmp_path / "a"]


def test_the_file_is_readable_json(tmp_path):
    record = make(tmp_path / "a")
    text = (tmp_path / "a" / "run.json").read_text()
    assert json.loads(text) == record
    assert text.startswith('{\n  "format_version": 1,\n  "kind": "search",\n')
