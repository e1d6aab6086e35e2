"""The journal of a search's trials: cut, damaged, foreign, and read by Optuna itself."""

import dataclasses
import json

import optuna
import pytest

from autoseg.errors import FileError
from autoseg.proposers import ArchitectureDomain, RandomSampler, Study
from tests.proposers.domains import SPACE, planted

DOMAIN = ArchitectureDomain(SPACE)
_, SCORE = planted(SPACE, 0)


def study_of(path, domain=DOMAIN):
    return Study(RandomSampler(domain, seed=(0,)), journal=path)


@pytest.fixture
def journal(tmp_path):
    """A journal of four trials, of which the third failed, and a bookmark after the third."""
    path = tmp_path / "trials.journal"
    with study_of(path) as study:
        for number in range(4):
            value = study.propose()
            if number == 2:
                study.add(value, None, failure="it diverged")
                bookmark = study.bookmark
            else:
                study.add(value, (SCORE(value),))
        return path, bookmark, list(study.trials), study.propose()


def test_it_goes_on_from_a_bookmark_and_does_the_rest_again(journal):
    path, bookmark, trials, following = journal
    with study_of(path) as study:
        study.go_back(bookmark)
        assert study.trials == trials[:3]
        assert [trial.failure for trial in study.trials] == [None, None, "it diverged"]
        assert study.propose() == trials[3].value
        study.add(trials[3].value, trials[3].scores)
        assert study.trials == trials
        assert study.propose() == following


def test_without_a_bookmark_it_begins_again(journal):
    path, _, trials, _ = journal
    with study_of(path) as study:
        assert list(study.trials) == []
        assert study.propose() == trials[0].value
    assert len(path.read_bytes().splitlines()) == 1  # the study itself


def test_a_line_that_a_kill_has_cut_is_healed(journal):
    path, bookmark, trials, _ = journal
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="was cut off"), study_of(path) as study:
        study.go_back(bookmark)
        assert study.trials == trials[:3]


def test_optuna_opens_it_and_finds_the_same(journal):
    path, _, trials, _ = journal
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    study = optuna.load_study(study_name="search", storage=storage)
    assert study.best_value == max(trial.scores[0] for trial in trials if trial.scores)
    assert [DOMAIN.decode(trial.params) for trial in study.trials] == [t.value for t in trials]


def test_a_journal_that_lost_lines_is_refused(journal):
    path, bookmark, _, _ = journal
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with (
        study_of(path) as study,
        pytest.raises(FileError, match=rf"has 2 lines, and had {bookmark} when it was last saved"),
    ):
        study.go_back(bookmark)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda line: {**line, "op_code": "x"}, "line 2, is not as it was written"),
        (lambda line: {**line, "state": 17}, "is not a journal of this search's trials"),
        (lambda line: {**line, "params": {}, "distributions": {}}, "trial 0 lacks layer0_stride"),
    ],
)
def test_a_damaged_line_is_named(journal, change, reason):
    path, bookmark, _, _ = journal
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(change(json.loads(lines[1])))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(FileError, match=reason), study_of(path) as study:
        study.go_back(bookmark)
        _ = study.trials


def test_trials_of_another_space_are_refused(journal):
    path, bookmark, _, _ = journal
    other = ArchitectureDomain(dataclasses.replace(SPACE, operations=SPACE.operations[:2]))
    with pytest.raises(FileError, match=r"trial 0 has "), study_of(path, other) as study:
        study.go_back(bookmark)
        _ = study.trials


def test_trials_in_memory_cannot_be_saved():
    with pytest.raises(RuntimeError, match="trials in memory cannot be saved"):
        _ = study_of(None).bookmark
