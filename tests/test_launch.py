"""What a process is told of the others."""

import pytest

from autoseg.errors import UsageError
from autoseg.launch import Launch, launch

TORCHRUN = {
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "host",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "2",
}


@pytest.fixture
def environment(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_torchrun_tells_a_process_its_place(environment):
    assert launch() == Launch(rank=3, num_processes=4, local_rank=1, num_restarts=2)
    assert not launch().is_alone


@pytest.mark.parametrize("size", ["1", "", "many", None])
def test_one_process_is_alone(environment, size):
    environment.setenv("WORLD_SIZE", size) if size is not None else environment.delenv("WORLD_SIZE")
    assert launch() == Launch(num_restarts=2)
    assert launch().is_alone


def test_several_processes_that_cannot_meet_are_refused(environment):
    environment.delenv("MASTER_ADDR")
    environment.delenv("RANK")
    with pytest.raises(UsageError, match=r"WORLD_SIZE is 4, and RANK, MASTER_ADDR is not set"):
        launch()
