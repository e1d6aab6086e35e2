"""Several processes on one study, through a database."""

import pytest

from autoseg.errors import FileError, UsageError
from autoseg.proposers import (
    ArchitectureDomain,
    EvolutionSampler,
    SharedStorage,
    Study,
    shared_storage,
)
from tests.proposers.domains import SPACE, planted

DOMAIN = ArchitectureDomain(SPACE)
_, SCORE = planted(SPACE, 0)


def worker_of(url, worker, *, name="a"):
    sampler = EvolutionSampler(DOMAIN, seed=(0, worker), population_size=2, tournament_size=1)
    return Study(sampler, shared=SharedStorage(url, study_name=name, worker=worker))


def test_workers_see_each_others_trials_and_try_different_things(tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    with worker_of(url, 0) as first, worker_of(url, 1) as second:
        for _ in range(4):  # both are at work at the same time
            values = first.propose(), second.propose()
            for study, value in zip((first, second), values, strict=True):
                study.add(value, (SCORE(value),))
        assert first.trials == second.trials
        values = [trial.value for trial in first.trials]
        assert len(set(values)) == len(values) == 8
        # A worker that was killed after it told and before it saved tries the same again.
        assert first.add(values[5], (0.0,)) == first.trials[5]
        assert len(second.trials) == 8
    assert [trial.number for trial in second.trials] == list(range(8))
    with worker_of(url, 2, name="b") as other:  # of another search
        assert list(other.trials) == []
    with worker_of(url, 0) as again:
        assert again.trials == first.trials


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("trials.db", r"storage = 'trials.db' is no address of a database; use sqlite:///"),
        ("postgresql://me:secret@host/db", r"the address of host holds a password, which run.json"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url, rule):
    with pytest.raises(UsageError, match=rule):
        SharedStorage(url, study_name="a", worker=0)


def test_a_worker_that_another_was_faster_than_tries_again(tmp_path, monkeypatch):
    connected, urls = shared_storage.database_at, []

    def fails_first(url):
        urls.append(url)
        if len(urls) == 1:
            raise RuntimeError("UNIQUE constraint failed: alembic_version.version_num")
        return connected(url)

    monkeypatch.setattr(shared_storage, "database_at", fails_first)
    monkeypatch.setattr(shared_storage, "_PAUSE_S", 0)
    with worker_of(f"sqlite:///{tmp_path}/trials.db", 0) as study:
        assert list(study.trials) == []
    assert len(urls) == 2


def test_a_database_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_storage, "_PAUSE_S", 0)
    url = f"sqlite:///{tmp_path}/missing/trials.db"
    with worker_of(url, 0) as study, pytest.raises(FileError, match=r"missing/trials.db is not a"):
        study.propose()
