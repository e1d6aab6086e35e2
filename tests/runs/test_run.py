import json

import pytest
import torch

from autoseg.errors import FileError, UsageError
from autoseg.runs import Run, load_checkpoint, load_record, load_weights
from autoseg.runs import run as run_module
from tests.fresh_process import CONTEXT

IDENTITY = {"space": "toy"}


def create(folder, **changes):
    return Run.create(folder, kind="search", command=["x"], config={"lr": 0.1}, seed=3, **changes)


def steps(run):
    text = (run.folder / "metrics.jsonl").read_text()
    return [json.loads(line)["step"] for line in text.splitlines()]


def test_a_run_from_start_to_end(tmp_path):
    with create(tmp_path / "deep" / "a") as run:
        assert load_record(run.folder)["state"] == "running"
        run.log(step=1, loss=0.5)
        run.save_weights("last", {"w": torch.ones(2)}, metadata={})
        run.update(architecture="a.json", results={"miou": 0.25})
        run.update(results={"epoch": 2})
        run.finish()
    record = load_record(tmp_path / "deep" / "a")
    assert record["state"] == "finished"
    assert record["architecture"] == "a.json"
    assert record["results"] == {"miou": 0.25, "epoch": 2}
    assert record["created"] < record["updated"]
    assert torch.equal(load_weights(run.folder, "last")["w"], torch.ones(2))
    assert run.figures_dir.is_dir()


def test_resuming_repeats_no_line(tmp_path):
    with create(tmp_path / "a") as run:
        for step in range(1, 6):
            run.log(step=step)
            if step == 3:
                run.save_checkpoint({"step": step}, identity=IDENTITY, step=step)
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # what a kill leaves
    with pytest.warns(UserWarning, match="was cut off"):
        run = Run.resume(run.folder)
    with run:
        state = run.load_checkpoint(identity=IDENTITY, map_location="cpu")
        assert state == {"step": 3}
        assert steps(run) == [1, 2, 3]
        for step in range(4, 7):
            run.log(step=step)
        run.finish()
    assert steps(run) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("open_again", [Run.resume, Run.annotate])
def test_what_a_kill_inside_a_save_left_is_removed(tmp_path, open_again):
    with create(tmp_path / "a") as run:
        left = [run.folder / ".run.json.77.tmp", run.figures_dir / ".history.svg.77.tmp"]
        for path in left:
            path.write_bytes(b"half")
    with open_again(run.folder):
        assert [path for path in left if path.exists()] == []


def test_resuming_deletes_a_checkpoint_that_a_kill_has_kept(tmp_path):
    names = [f"checkpoint-0000000{step}.pt" for step in (1, 2, 3, 4)]
    with create(tmp_path / "a") as run:
        for step in (1, 2):
            run.save_checkpoint({"step": step}, identity=IDENTITY, step=step)
        first = (run.folder / names[0]).read_bytes()
        run.save_checkpoint({"step": 3}, identity=IDENTITY, step=3)
    (run.folder / names[0]).write_bytes(first)
    (run.folder / names[3]).write_bytes(b"damaged")  # who goes on may want to look at it
    with Run.resume(run.folder) as run, pytest.warns(UserWarning, match="resuming from"):
        assert run.load_checkpoint(identity=IDENTITY, map_location="cpu") == {"step": 3}
    assert sorted(path.name for path in run.folder.glob("checkpoint-*")) == names[1:]


def test_resuming_without_a_checkpoint_starts_the_log_again(tmp_path):
    with create(tmp_path / "a") as run:
        run.log(step=1)
    with Run.resume(run.folder) as run:
        assert run.load_checkpoint(identity=IDENTITY, map_location="cpu") is None
        run.log(step=1)
    assert steps(run) == [1]


def test_resuming_notes_the_time_and_the_machine(tmp_path):
    with create(tmp_path / "a") as run:
        run.finish("interrupted")
    with Run.resume(run.folder) as run:
        record = load_record(run.folder)
        assert record["state"] == "running"
        (entry,) = record["resumed"]
        assert entry["time"] > record["created"]
        assert entry["versions"] == record["versions"]


@pytest.mark.parametrize(
    ("error", "state"),
    [(None, "interrupted"), (KeyboardInterrupt, "interrupted"), (OSError, "failed")],
)
def test_only_finish_makes_a_run_finished(tmp_path, error, state):
    try:
        with create(tmp_path / "a"):
            if error:
                raise error
    except (KeyboardInterrupt, OSError):
        pass
    assert load_record(tmp_path / "a")["state"] == state
    Run.resume(tmp_path / "a").__exit__(None, None, None)  # the lock was given back


def test_annotate_leaves_the_state(tmp_path):
    with create(tmp_path / "a") as run:
        run.finish()
    with pytest.raises(KeyError), Run.annotate(run.folder) as run:
        run.update(results={"miou": 0.5})
        raise KeyError
    record = load_record(run.folder)
    assert (record["state"], record["results"]) == ("finished", {"miou": 0.5})
    with Run.annotate(run.folder) as run:
        with pytest.raises(RuntimeError, match="use resume"):
            run.finish()
        with pytest.raises(RuntimeError, match="use resume"):
            run.log(step=1)


def test_a_damaged_log_stops_a_training_before_it_starts_and_no_one_else(tmp_path):
    with create(tmp_path / "a") as run:
        run.log(step=1)
        run.finish()
    with (run.folder / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\n")
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(FileError, match=r"metrics\.jsonl, line 2, is not as it was written"):
        Run.resume(run.folder)
    assert (run.folder / "run.json").read_bytes() == before
    with Run.annotate(run.folder) as run:  # scores can be stored all the same
        run.update(results={"miou": 0.5})


def test_a_configuration_that_no_record_can_hold_leaves_no_folder(tmp_path):
    config = {"data_root": tmp_path / "\udcff"}
    with pytest.raises(ValueError, match=r"config\.data_root is .*whose name is not UTF-8"):
        Run.create(tmp_path / "a", kind="search", command=[], config=config, seed=0)
    with pytest.raises(ValueError, match=r"seed is -1; it must be a whole number from 0"):
        Run.create(tmp_path / "a", kind="search", command=[], config={}, seed=-1)
    assert list(tmp_path.iterdir()) == []


def test_create_refuses_a_folder_that_holds_a_run(tmp_path):
    with create(tmp_path / "a") as run:
        run.finish()
    rule = r"already holds a search run \(finished, created .*\): use --resume .* another --out"
    with pytest.raises(UsageError, match=rule):
        create(tmp_path / "a")
    Run.resume(tmp_path / "a").__exit__(None, None, None)  # the refusal holds no lock


def test_create_refuses_the_remains_of_a_run(tmp_path):
    (tmp_path / "checkpoint-00000001.pt").touch()
    with pytest.raises(UsageError, match=r"has no run\.json but holds checkpoint-00000001\.pt"):
        create(tmp_path)


def test_create_refuses_a_file(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(UsageError, match="is a file; use another --out"):
        create(tmp_path / "a")


def test_resume_refuses_a_folder_without_a_run_and_leaves_nothing_in_it(tmp_path):
    with pytest.raises(UsageError, match="holds no run"):
        Run.resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fields_that_the_run_keeps_are_refused(tmp_path):
    with create(tmp_path / "a") as run:
        with pytest.raises(ValueError, match="'state' is kept by the run itself"):
            run.update(state="finished")
        with pytest.raises(ValueError, match="results must be a dictionary, not 3"):
            run.update(results=3)


def test_a_failing_record_does_not_hide_the_first_error(tmp_path, monkeypatch):
    def full(folder, record):
        raise OSError("disk full")

    run = create(tmp_path / "a")
    monkeypatch.setattr(run_module, "save_record", full)
    with pytest.raises(ZeroDivisionError) as caught, run:
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["The state of the run could not be saved either: disk full"]


def hold(folder, connection):
    """Hold a run until a kill."""
    run = create(folder)
    run.log(step=1)
    run.save_checkpoint({"step": 1}, identity=IDENTITY, step=1)
    run.log(step=2)
    connection.send("ready")
    connection.recv()


def test_a_folder_in_use_and_a_kill(tmp_path):
    """Another process holds the run, is killed without warning, and the run goes on."""
    folder = tmp_path / "a"
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=hold, args=(folder, theirs))
    process.start()
    try:
        assert ours.poll(60) and ours.recv() == "ready"
        for attempt in (create, Run.resume, Run.annotate):
            rule = rf"is in use by process {process.pid} on .*another --out"
            with pytest.raises(UsageError, match=rule):
                attempt(folder)
    finally:
        process.kill()
        process.join(60)
    assert load_record(folder)["state"] == "running"  # nobody was left to say otherwise
    (folder / ".weights-best.safetensors.1.tmp").touch()  # a save that the kill cut off
    with Run.resume(folder) as run:
        assert run.load_checkpoint(identity=IDENTITY, map_location="cpu") == {"step": 1}
        assert steps(run) == [1]
        run.finish()
    assert not list(folder.glob("*.tmp")) and not list(folder.glob(".*.tmp"))
    assert load_record(folder)["state"] == "finished"
    assert load_checkpoint(folder, identity=IDENTITY, map_location="cpu") is not None
