"""Trials in a database: what Optuna itself writes and reads, in few statements."""

import math
from datetime import datetime

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy import event

from autoseg.proposers import ArchitectureDomain, database
from autoseg.proposers.database import Database
from tests.proposers.domains import SPACE

DOMAIN = ArchitectureDomain(SPACE)
OPTIONS = {name: CategoricalDistribution(each) for name, each in DOMAIN.options.items()}
START = datetime(2026, 1, 2, 3, 4, 5, 678901)


def trials():
    """One that ended, one that failed, one that was stopped, and one without choices."""
    states = {
        TrialState.COMPLETE: {"values": [0.25, math.inf]},
        TrialState.FAIL: {"user_attrs": {"failure": "it diverged", "worker": 3}},
        TrialState.PRUNED: {
            "values": [-math.inf, 2.0],
            "intermediate_values": {4: 0.5, 20: math.inf},
            "system_attrs": {"a": [1, {"b": None}]},
        },
    }
    made, generator = [], torch.Generator().manual_seed(0)
    for state, more in states.items():
        params = DOMAIN.encode(DOMAIN.sample(generator))
        made.append(create_trial(params=params, distributions=OPTIONS, state=state, **more))
    made.append(create_trial(state=TrialState.COMPLETE, values=[1.0, 2.0]))
    for number, trial in enumerate(made):
        trial.datetime_start = trial.datetime_complete = START.replace(second=number)
    return made


def fill(storage):
    study = optuna.create_study(
        storage=storage, study_name="a", directions=["maximize", "minimize"], load_if_exists=True
    )
    study.add_trials(trials())


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/trials.db"


def read(storage):
    return optuna.load_study(storage=storage, study_name="a").get_trials()


@pytest.mark.parametrize("writer", [Database, pytest.param(RDBStorage, marks=pytest.mark.nightly)])
def test_each_reads_what_the_other_writes(writer, url):
    storage = writer(url)
    optuna.create_study(storage=storage, study_name="other").add_trial(create_trial(value=7.0))
    fill(storage)
    for reader in (Database, RDBStorage):
        found = read(reader(url))
        assert [trial.number for trial in found] == [0, 1, 2, 3]
        for trial, made in zip(found, trials(), strict=True):
            for name in (
                *("state", "values", "params", "distributions", "datetime_start"),
                *("datetime_complete", "user_attrs", "system_attrs", "intermediate_values"),
            ):
                assert getattr(trial, name) == getattr(made, name), name
            assert list(trial.params) == list(made.params)  # in their order


@pytest.mark.nightly
def test_a_trial_that_has_not_ended_is_read_again(url):
    study = optuna.create_study(storage=RDBStorage(url), study_name="a")
    study.enqueue_trial({"layer0_stride": "8"})
    reader = optuna.load_study(storage=Database(url), study_name="a")
    assert [trial.state for trial in reader.get_trials()] == [TrialState.WAITING]
    study.tell(study.ask(), 0.5)
    assert [trial.value for trial in reader.get_trials()] == [0.5]


def test_statements_do_not_become_more_with_choices_and_trials(url):
    storage, statements = Database(url), []
    event.listen(storage.engine, "before_cursor_execute", lambda *each: statements.append(each[2]))
    study = optuna.create_study(storage=storage, study_name="a")

    def number_of(do):
        statements.clear()
        do()
        return len(statements)

    def add(names):
        study.add_trial(
            create_trial(
                params={name: DOMAIN.options[name][0] for name in names},
                distributions={name: OPTIONS[name] for name in names},
                value=0.0,
            )
        )

    first, *_ = DOMAIN.options
    written = {number_of(lambda names=names: add(names)) for names in ([first], DOMAIN.options)}
    assert len(written) == 1
    of_two, of_none = (number_of(study.get_trials) for _ in range(2))
    add(DOMAIN.options)
    assert number_of(study.get_trials) == of_two > of_none == 1  # nothing new


def test_of_a_trial_that_cannot_be_written_nothing_is(url, monkeypatch):
    storage = Database(url)
    fill(storage)

    def broken(distribution):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(database, "distribution_to_json", broken)
    with pytest.raises(RuntimeError, match="the disk is full"):
        fill(storage)
    assert len(read(RDBStorage(url))) == 4
