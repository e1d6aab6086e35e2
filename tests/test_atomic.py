import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from autoseg import atomic
from autoseg.architecture import Architecture
from autoseg.atomic import atomic_write, remove_leftovers, require_writable
from autoseg.reporting import save_figure


def test_replaces_the_content(tmp_path):
    path = tmp_path / "a.bin"
    atomic_write(path, b"old, and longer")
    atomic_write(path, lambda file: file.write(b"new"))  # type: ignore[arg-type, return-value]
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_leaves_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="could not write") as caught:
        atomic_write(path, b"new")
    message = str(caught.value)
    assert str(path) in message
    assert "No space left on device; the previous file is untouched; " in message
    assert f"MiB are free in {tmp_path}" in message
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_says_that_nothing_was_written_where_there_was_no_file(tmp_path):
    with pytest.raises(OSError, match=r"No such file or directory; nothing was written"):
        atomic_write(tmp_path / "missing" / "a.bin", b"new")


def test_the_system_refusing_the_bytes_leaves_the_previous_file(tmp_path):
    # A real refusal in the middle of the file, not a patched function: the process's size limit.
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(OSError, match="the previous file is untouched") as caught:
            atomic_write(path, bytes(2**22))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_another_error_of_the_writer_is_passed_on_and_cleaned_up(tmp_path):
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, interrupted)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_kill_in_the_middle_leaves_the_previous_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    script = f"""
import os, pathlib, runpy, signal
def die(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
runpy.run_path({str(Path(atomic.__file__))!r})["atomic_write"](pathlib.Path({str(path)!r}), die)
"""
    process = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2  # the half file under its temporary name
    remove_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


@contextmanager
def as_nobody():
    """Give up root's right to write everywhere, where the tests have it."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    folder = tmp_path / "deep" / "er"
    require_writable(folder)
    assert folder.is_dir() and list(folder.iterdir()) == []
    folder.chmod(0o555)
    rule = r"nothing can be written to .*/er: Permission denied; name another folder"
    for path in (tmp_path, *tmp_path.parents):  # so that nobody may look into it
        if os.geteuid() == path.stat().st_uid and path.name.startswith("pytest"):
            path.chmod(0o755)
    with as_nobody(), pytest.raises(OSError, match=rule) as caught:
        require_writable(folder)
    assert caught.value.errno == errno.EACCES
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"nothing can be written to .*file: "):
        require_writable(tmp_path / "file")


def test_an_architecture_and_a_figure_are_replaced_whole(tmp_path, monkeypatch):
    architecture = Architecture.load("autodeeplab_paper")
    figure = Figure()
    architecture.save(tmp_path / "a.json")
    save_figure(figure, tmp_path / "a")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 3

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    figure.suptitle("another")
    with pytest.raises(OSError, match=r"a\.json: No space left on device; the previous file"):
        replace(architecture, space="other").save(tmp_path / "a.json")
    with pytest.raises(OSError, match=r"a\.png: No space left on device"):
        save_figure(figure, tmp_path / "a")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
