"""A run on a disk that is really full; tests/test_atomic.py has the same for one file."""

import shutil
import subprocess

import pytest
import torch

from autoseg.runs import Run, load_record
from autoseg.runs.metrics_log import load_metrics

IDENTITY = {"space": "toy"}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk takes the right to mount one: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.nightly
@pytest.mark.parametrize(("num_free", "state"), [(2**15, "failed"), (0, "running")])
def test_a_run_ends_with_words_and_goes_on_when_there_is_room(small_disk, num_free, state):
    filler = small_disk / "filler"
    with (
        pytest.raises(OSError, match=r"could not write .*: No space left on device") as caught,
        Run.create(small_disk / "a", kind="search", command=[], config={}, seed=0) as run,
    ):
        for step in range(1, 100):
            run.log(step=step)
            run.save_checkpoint({"map": step * torch.ones(2**14)}, identity=IDENTITY, step=step)
            if step == 2:
                filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - num_free))
    notes = getattr(caught.value, "__notes__", [])
    assert ("could not be saved either" in str(notes)) == (num_free == 0)
    assert load_record(run.folder)["state"] == state
    filler.unlink()
    with Run.resume(run.folder) as again:
        found = again.load_checkpoint(identity=IDENTITY, map_location="cpu")
        assert found is not None and torch.equal(found["map"], 2 * torch.ones(2**14))
        assert [line["step"] for line in load_metrics(run.folder)] == [1, 2]
        again.save_checkpoint({"map": torch.ones(2**14)}, identity=IDENTITY, step=3)
        again.finish()
    assert not list(run.folder.glob(".*.tmp"))
