import json
import os
import warnings
from pathlib import Path

import pytest

from autoseg.errors import FileError, UsageError
from autoseg.runs import load_metrics
from autoseg.runs import record as record_module
from autoseg.runs.record import (
    RECORD_FORMAT_VERSION,
    find_runs,
    load_record,
    new_record,
    next_order,
    order_of,
    reading_record,
)
from autoseg.runs.record import save_record as save


def make(folder: Path, **changes):
    folder.mkdir(parents=True)
    record = new_record(
        kind="search",
        command=["x", "--y"],
        config={"lr": (1, Path("p"))},
        seed=3,
        order=next_order(folder),
    )
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


def test_a_newer_version_is_refused(tmp_path, monkeypatch):
    newer = RECORD_FORMAT_VERSION + 1
    with monkeypatch.context() as patch:
        patch.setattr(record_module, "RECORD_FORMAT_VERSION", newer)
        make(tmp_path / "a")
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
        ('{"format_version": 1, "kind"', r"run\.json is not a run's record: .*line 1 column"),
        ("[1]", r"it has no format_version"),
        ('{"format_version": 1, "kind": "search"}', r"record: it has no field 'command'"),
    ],
)
def test_a_damaged_record(tmp_path, text, rule):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=rule):
        load_record(tmp_path)


def test_every_damage_is_refused_in_one_line_with_the_files_name(tmp_path):
    make(tmp_path / "a")
    path = tmp_path / "a" / "run.json"
    whole = path.read_text()
    damages = {
        "nesting": "[" * 100_000,
        "nesting that the parser follows": '{"a":' * 200 + "1" + "}" * 200,
        "digits": whole.replace('"seed": 3', '"seed": ' + "9" * 5000),
        "half a pair": whole.replace('"--y"', r'"\ud800"'),
        "NUL": whole.replace('"--y"', r'"\u0000"'),
        "NUL byte": whole.replace('"--y"', '"\0"'),
        "NaN": whole.replace('"seed": 3', '"seed": NaN'),
        "infinity": whole.replace('"seed": 3', '"seed": 1e999'),
        "a key twice": whole.replace('"seed": 3', '"seed": 3, "seed": 4'),
        "not UTF-8": whole.encode().replace(b'"--y"', b'"\xff"'),
        "UTF-16": whole.encode("utf-16"),
        "empty": "",
    }
    for name, content in damages.items():
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(FileError, match=r"run\.json is not a run's record: ") as caught:
            load_record(tmp_path / "a")
        message = str(caught.value)
        assert message.isprintable() and len(message) < 500, (name, message)
        assert message.endswith("; restore it, or start a new run with another --out."), name


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("created", None, "created is None; it must be a time"),
        ("created", "yesterday", "created is 'yesterday'; it must be a time"),
        (
            "created",
            "2024-01-01T00:00:00",
            "created is .*; it must be a time",
        ),  # without its offset from UTC
        ("resumed", None, "resumed is None; it must be a list"),
        ("resumed", [3], r"resumed\[0\] is 3; it must be an object with fields"),
        ("seed", True, "seed is True; it must be a whole number from 0"),
        ("seed", "3", "seed is '3'; it must be a whole number"),
        ("state", "done", "state is 'done'; it must be 'running' or 'finished' or"),
        ("command", "x y", "command is 'x y'; it must be a list"),
        ("config", [], r"config is \[\]; it must be an object"),
        ("results", None, "results is None; it must be an object"),
        ("order", 2**63, "order is .*; it must be a whole number"),
        ("kind", "\x1b[31m", None),  # any text is a kind; nothing obeys it
    ],
)
def test_a_field_of_the_wrong_kind(tmp_path, field, value, rule):
    make(tmp_path / "a", **{field: value})  # the checksum is right: a program wrote it
    if rule is None:
        assert load_record(tmp_path / "a")[field] == value
        return
    with pytest.raises(FileError, match=rf"run\.json is not a run's record: {rule}"):
        load_record(tmp_path / "a")


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    """In numbers, words and names; only in white space it changes nothing."""
    record = make(tmp_path / "a")
    path = tmp_path / "a" / "run.json"
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        data = bytearray(content)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*has no checksum", UserWarning)
            try:
                loaded = load_record(tmp_path / "a")
            except (FileError, UsageError) as error:
                assert "run.json" in str(error)
                continue
        changed = {key: value for key, value in loaded.items() if record.get(key) != value}
        # Where the checksum's own name was hit, it is one more field, and the rest is whole.
        assert list(changed.values()) in ([], [json.loads(content)["sha256"]])


def test_a_change_by_hand_is_told_how_to_proceed(tmp_path):
    make(tmp_path / "a")
    path = tmp_path / "a" / "run.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    rule = r"is not as autoseg wrote it: .* on purpose, take out its line \"sha256\", and it is bel"
    with pytest.raises(FileError, match=rule):
        load_record(tmp_path / "a")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"sha256"' not in line))
    with pytest.warns(UserWarning, match=r"run\.json has no checksum, so that"):
        record = load_record(tmp_path / "a")
    assert record["seed"] == 4
    save(tmp_path / "a", record)  # the next command that writes to the run
    assert load_record(tmp_path / "a") == record


def test_a_record_of_the_first_format_is_read_without_a_word(tmp_path):
    record = make(tmp_path / "a")
    del record["order"]
    record["format_version"] = 1
    (tmp_path / "a" / "run.json").write_text(json.dumps(record))
    assert load_record(tmp_path / "a") == record
    save(tmp_path / "a", record)
    assert load_record(tmp_path / "a") == {**record, "format_version": RECORD_FORMAT_VERSION}


def test_published_records_are_read():
    paths = sorted((Path(__file__).parents[2] / "results").rglob("run.json"))
    assert len(paths) >= 10
    for path in paths:
        record = load_record(path.parent)
        assert record["state"] == "finished"
        assert order_of(record) > 0
        load_metrics(path.parent)


@pytest.mark.parametrize("error", [KeyError("a"), ValueError("a"), UsageError("a"), TypeError("a")])
def test_whatever_a_records_fields_raise_names_the_file(tmp_path, error):
    rule = r"run\.json(:| is not a record that this autoseg knows:) '?a'?"
    with pytest.raises(FileError, match=rule), reading_record(tmp_path):
        raise error


def test_an_editor_may_leave_a_byte_order_mark(tmp_path):
    record = make(tmp_path / "a")
    path = tmp_path / "a" / "run.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_record(tmp_path / "a") == record


def test_fields_of_a_later_autoseg_are_kept(tmp_path):
    record = make(tmp_path / "a", novelty={"x": [1.5, None]})
    assert load_record(tmp_path / "a") == record


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(FileError, match=r"run\.json is not a run's record: it is no regular file"):
        load_record(tmp_path)


def test_names_that_are_not_utf8_do_not_stop_a_run(tmp_path):
    command = ["x", os.fsdecode(b"gr\xf6\xdfe"), "a\0b"]
    record = new_record(kind="search", command=command, config={}, seed=0, order=1)
    save(tmp_path, record)
    assert load_record(tmp_path)["command"] == ["x", r"gr\udcf6\udcdfe", r"a\x00b"]
    config = {"data_root": Path(os.fsdecode(b"gr\xf6"))}
    rule = r"config\.data_root is gr\\udcf6, whose name is not UTF-8, .*rename the file or folder"
    with pytest.raises(ValueError, match=rule):  # it is read back, and would name another folder
        new_record(kind="search", command=[], config=config, seed=0, order=1)


def test_find_runs_oldest_first_with_filters(tmp_path):
    # Names in another order than they were made, so that sorting by name would fail.
    make(tmp_path / "c", state="finished")
    make(tmp_path / "b", kind="retrain")
    make(tmp_path / "deep" / "er" / "a")
    a, b, c = tmp_path / "deep" / "er" / "a", tmp_path / "b", tmp_path / "c"
    assert find_runs(tmp_path) == [c, b, a]
    assert find_runs(tmp_path, kind="search") == [c, a]
    assert find_runs(tmp_path, kind="search", state="finished") == [c]
    assert find_runs(tmp_path / "missing") == []


def test_runs_of_before_there_was_an_order_go_by_their_time(tmp_path):
    for name, day in (("c", 1), ("a", 3), ("b", 2)):
        record = make(tmp_path / name, created=f"2024-01-0{day}T00:00:00.000000+00:00")
        del record["order"]
        save(tmp_path / name, record)
    make(tmp_path / "0")
    assert [path.name for path in find_runs(tmp_path)] == ["c", "b", "a", "0"]


def test_a_clock_that_jumps_back_does_not_make_a_new_run_old(tmp_path, monkeypatch):
    def at(day):
        monkeypatch.setattr(record_module, "now", lambda: f"2024-01-{day:02}T00:00:00.000000+00:00")

    at(20)
    make(tmp_path / "set")
    at(25)
    make(tmp_path / "set" / "first")  # as a retraining of several networks makes them
    make(tmp_path / "set" / "second")
    at(3)  # the clock is set back by weeks
    make(tmp_path / "later")
    make(tmp_path / "later" / "first")
    make(tmp_path / "last")
    names = ["set", "set/first", "set/second", "later", "later/first", "last"]
    assert [str(path.relative_to(tmp_path)) for path in find_runs(tmp_path)] == names
    at(28)  # and is right again
    make(tmp_path / "now")
    assert find_runs(tmp_path)[-1] == tmp_path / "now"
    # Elsewhere the clock is all there is to go by.
    at(4)
    assert next_order(tmp_path / "elsewhere" / "deep" / "x") < order_of(
        load_record(tmp_path / "set")
    )


def test_a_damaged_neighbour_has_no_say_in_the_order(tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "run.json").write_text("{")
    make(tmp_path / "b", order=2**62)
    make(tmp_path / "c")  # the largest there can be is not surpassed, and the time decides
    with pytest.warns(UserWarning, match="left out"):
        assert find_runs(tmp_path) == [tmp_path / "b", tmp_path / "c"]


def test_find_runs_names_a_damaged_one_and_goes_on(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b")
    (tmp_path / "b" / "run.json").write_text("{")
    (tmp_path / "c" / "run.json").mkdir(parents=True)
    rule = r"left out .*[bc]: .*run\.json is not a run's record"
    with pytest.warns(UserWarning, match=rule) as warned:
        assert find_runs(tmp_path) == [tmp_path / "a"]
    assert len(warned) == 2


def test_the_file_is_readable_json(tmp_path):
    record = make(tmp_path / "a")
    text = (tmp_path / "a" / "run.json").read_text()
    content = json.loads(text)
    assert len(content.pop("sha256")) == 64
    assert content == record
    assert text.startswith('{\n  "format_version": 2,\n  "sha256": "')
    assert '",\n  "kind": "search",\n' in text
