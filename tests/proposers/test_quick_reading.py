"""Trials that are read quickly: the same ones, and nothing is left behind."""

import gc

import pytest
from optuna.distributions import json_to_distribution
from optuna.storages.journal import _storage

from autoseg.errors import FileError
from autoseg.proposers import ArchitectureDomain, RandomSampler, SharedStorage, Study
from autoseg.proposers.quick_reading import quick_reading
from tests.proposers.domains import SPACE

DOMAIN = ArchitectureDomain(SPACE)
PARSER = json_to_distribution


def _journal_parser():
    return vars(_storage)["json_to_distribution"]


def open_study(where, folder):
    places = {
        "journal": {"journal": folder / "trials.journal"},
        "database": {
            "shared": SharedStorage(f"sqlite:///{folder}/trials.db", study_name="s", worker=0)
        },
    }
    return Study(RandomSampler(DOMAIN, seed=(0,)), **places[where])


@pytest.mark.parametrize("where", ["journal", pytest.param("database", marks=pytest.mark.nightly)])
def test_trials_share_their_distributions_and_are_what_they_were(where, tmp_path):
    with open_study(where, tmp_path) as study:
        added = [study.add(study.propose(), (float(number),)) for number in range(3)]
        bookmark = study.bookmark
    with open_study(where, tmp_path) as study:
        study.go_back(bookmark)
        assert list(study.trials) == added
        first, second, third = study._study.get_trials(deepcopy=False)
    assert first.distributions == study.sampler.distributions
    for name, distribution in first.distributions.items():
        assert distribution is second.distributions[name] is third.distributions[name]
    assert _journal_parser() is PARSER


@pytest.mark.parametrize("was_enabled", [True, False])
def test_an_error_leaves_parser_and_collector_as_they_were(was_enabled):
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(FileError), quick_reading():
            assert not gc.isenabled()
            assert _journal_parser() is not PARSER
            raise FileError("damaged")
        assert gc.isenabled() is was_enabled
        assert _journal_parser() is PARSER
    finally:
        gc.enable()
