import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

import autoseg
from autoseg.runs import environment


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_state_follows_the_checkout_that_tracks_the_file(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    source = tmp_path / "environment.py"
    source.write_text("1\n")
    monkeypatch.setattr(environment, "__file__", str(source))
    assert environment.git_state() is None  # no repository
    git("init", "-q")
    (tmp_path / "other").write_text("1\n")
    git("add", "other")
    git("commit", "-q", "-m", "one")
    assert environment.git_state() is None  # a repository, but not of this file
    git("add", "environment.py")
    git("commit", "-q", "-m", "two")
    commit = git("rev-parse", "HEAD")
    assert environment.git_state() == {"commit": commit, "dirty": False}
    source.write_text("2\n")
    assert environment.git_state() == {"commit": commit, "dirty": True}


def test_git_is_asked_once_in_a_process(monkeypatch):
    states = [{"commit": "1" * 40, "dirty": False}, {"commit": "1" * 40, "dirty": True}]
    monkeypatch.setattr(environment, "git_state", lambda: states.pop(0))
    environment._git_state_of_this_process.cache_clear()
    try:
        first = environment.describe_environment()["git"]
        first["dirty"] = "changed by whom it was given to"
        assert environment.describe_environment()["git"] == {"commit": "1" * 40, "dirty": False}
    finally:
        environment._git_state_of_this_process.cache_clear()


def test_git_state_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.git_state() is None


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="reads Linux' own account")
def test_hardware_agrees_with_the_kernel():
    found = environment.hardware()
    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    # /proc counts in KiB; both are rounded down.
    assert abs(found["memory_mib"] - total_kib // 1024) <= 1
    assert found["num_cores"] == os.cpu_count()
    assert found["num_usable_cores"] == len(os.sched_getaffinity(0))
    assert found["num_threads"] == torch.get_num_threads()
    assert len(found["gpus"]) == torch.cuda.device_count()
    cpuinfo = Path("/proc/cpuinfo").read_text()
    assert found["cpu"] in cpuinfo or "model name" not in cpuinfo


def test_versions():
    found = environment.versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"] == torch.__version__
    assert found["cuda"] == torch.version.cuda


def test_the_version_is_the_imported_codes(tmp_path, monkeypatch):
    # As after `pip install autoseg`, which is other software; and as in a checkout without any.
    other = tmp_path / "autoseg-9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: autoseg\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.version("autoseg") == "9.9"
    assert environment.versions()["autoseg"] == autoseg.__version__ != "9.9"
