"""Trials that are read once for a proposal: as many and the same as Optuna lists."""

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from autoseg.proposers import ArchitectureDomain, NSGA2Sampler, Study, TPESampler
from autoseg.proposers.snapshot import Snapshot
from tests.proposers.domains import SPACE

DOMAIN = ArchitectureDomain(SPACE)
SAMPLERS = (
    TPESampler(DOMAIN, seed=(0,), num_random=2),
    NSGA2Sampler(DOMAIN, seed=(0,), population_size=2),
)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda each: type(each).__name__)
def test_a_proposal_reads_the_trials_once(sampler, monkeypatch):
    study = Study(sampler)
    for number in range(5):
        study.add(study.propose(), (float(number), 1.0)[: sampler.num_objectives])
    listed, calls = InMemoryStorage.get_all_trials, []

    def counted(self, *args, **kwargs):
        calls.append(args)
        return listed(self, *args, **kwargs)

    monkeypatch.setattr(InMemoryStorage, "get_all_trials", counted)
    study.propose()
    assert len(calls) == 1


def test_a_snapshot_lists_what_its_study_did_when_it_was_made():
    study = optuna.create_study(direction="maximize")
    for state in (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED):
        study.add_trial(create_trial(state=state, value=1.0 if state.name == "COMPLETE" else None))
    snapshot = Snapshot(study, study.get_trials(deepcopy=False))
    for states in (None, (TrialState.COMPLETE, TrialState.PRUNED), ()):
        assert snapshot.get_trials(states=states) == study.get_trials(states=states)
    assert snapshot.get_trials()[0] is not snapshot.get_trials(deepcopy=False)[0]
    study.add_trial(create_trial(value=2.0))
    assert len(snapshot.trials) == 3
    assert snapshot.direction == study.direction
