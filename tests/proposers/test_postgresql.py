"""Workers on one study through PostgreSQL: a cluster of its own on loopback, for this file."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pytest
import torch

from autoseg import search
from autoseg.errors import UsageError
from autoseg.proposers import SharedStorage, shared_storage
from autoseg.runs import load_metrics
from tests.proposers.test_shared_storage import SCORE, worker_of

USER = "postgres"
"""Who runs the server where root would: PostgreSQL refuses to be root's."""


PROGRAMS = os.pathsep.join(
    [
        os.environ.get("PATH", ""),
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)
"""Where its programs may be: Debian's package puts them beside the path."""


def as_server(command):
    """Run a command as the server's user."""
    is_root = os.geteuid() == 0
    prefix = ["runuser", "-u", USER, "--"] if is_root else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture(scope="module")
def url():
    """The address of a database that is thrown away."""
    pytest.importorskip("psycopg2", reason="needs pip install psycopg2-binary")
    initdb, pg_ctl = (shutil.which(name, path=PROGRAMS) for name in ("initdb", "pg_ctl"))
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server (initdb, pg_ctl; Debian's package is postgresql)")
    if os.geteuid() == 0 and subprocess.run(["id", USER], capture_output=True).returncode:
        pytest.skip(f"root, and no user {USER}, who could run PostgreSQL")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        data = str(folder / "data")
        as_server([initdb, "-D", data, "-U", "me", "--auth=trust", "--no-sync", "-N"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        log = str(folder / "log")
        as_server([pg_ctl, "-D", data, "-w", "-s", "-o", options, "-l", log, "start"])
        try:
            yield f"postgresql://me@127.0.0.1:{port}/postgres"
        finally:
            as_server([pg_ctl, "-D", data, "-w", "-s", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder)


@pytest.mark.nightly
def test_workers_see_each_others_trials(url):
    with worker_of(url, 0) as first, worker_of(url, 1) as second:
        for _ in range(3):  # both are at work at the same time
            values = first.propose(), second.propose()
            for study, value in zip((first, second), values, strict=True):
                study.add(value, (SCORE(value),))
        assert first.trials == second.trials
        assert len({trial.value for trial in first.trials}) == 6
        # A worker that was killed after it told and before it saved tries the same again.
        assert first.add(values[0], (0.0,)) == first.trials[4]
        assert len(second.trials) == 6


@pytest.mark.nightly
def test_the_sample_of_a_worker_that_was_killed_is_tried_again(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = [
        *("--strategy", "random", "--pruner", "halving", "--sample-steps", "4"),
        *("--reduction-factor", "2", "--num-samples", "3", "--batch-size", "2"),
        *("--val-images", "1", "--image-size", "64", "72", "--train-length", "8"),
        *("--device", "cpu", "--storage", url),
    ]

    def worker(number):
        return [*settings, "--worker", str(number), "--out", f"worker-{number}"]

    def checkpoints():
        return sorted(Path("worker-0").glob("checkpoint-*.pt"))

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "autoseg.search", *worker(0)]
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if len(checkpoints()) == 2:  # before the first sample, and after it
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    interrupted = torch.load(checkpoints()[-1], weights_only=True)["state"]["strategy"]["present"]
    assert search.main(worker(1)) == 0  # another goes on in the meantime
    assert search.main(["--resume", "--out", "worker-0"]) == 0

    tried = [line["architecture"] for line in load_metrics(Path("worker-0"))]
    assert tried[1] == interrupted
    storage = optuna.storages.RDBStorage(url.replace("postgresql", "postgresql+psycopg2"))
    (name,) = (name for name in optuna.get_all_study_names(storage) if name != "a")
    trials = optuna.load_study(study_name=name, storage=storage).trials
    by_worker = [trial.user_attrs["worker"] for trial in trials]
    assert (by_worker.count(0), by_worker.count(1)) == (3, 3)
    assert all(trial.state.is_finished() for trial in trials)  # a kill leaves none half done
    storage.remove_session()
    storage.engine.dispose()


def test_an_address_without_a_driver_means_psycopg2(monkeypatch):
    urls = []
    monkeypatch.setattr(shared_storage, "find_spec", lambda name: name == "psycopg2")
    monkeypatch.setattr(shared_storage, "database_at", urls.append)
    for url in ("postgresql://me@host/db", "postgresql+psycopg://me@host/db"):
        SharedStorage(url, study_name="a", worker=0).open()
    assert urls == ["postgresql+psycopg2://me@host/db", "postgresql+psycopg://me@host/db"]


def test_without_the_driver_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shared_storage, "find_spec", lambda name: None)
    rule = r"PostgreSQL is reached by psycopg2, which is not installed: pip install 'autoseg-nas\[s"
    with pytest.raises(UsageError, match=rule):
        SharedStorage("postgresql://me@host/db", study_name="a", worker=0)
