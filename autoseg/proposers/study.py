"""The trials of a search, in an Optuna study: what was tried, and how it scored."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoseg.errors import reading
from autoseg.proposers.domain import Value
from autoseg.proposers.pruner import Course
from autoseg.proposers.quick_reading import quick_reading
from autoseg.proposers.samplers import DomainSampler
from autoseg.proposers.shared_storage import WHAT, SharedStorage
from autoseg.proposers.snapshot import Snapshot
from autoseg.runs.closing import Closing
from autoseg.runs.journal import Journal

_REMEDY = "restore the file, or begin the search again in another folder"
_FAILURE = "failure"  # attribute of a trial without a score
_STUDY_NAME = "search"  # in a file that holds nothing else
_BRACKET = "bracket"  # attribute of a trial that a pruner has judged
_WORKER = "worker"  # attribute that says which process added a trial


@dataclass(frozen=True, slots=True)
class Trial(Generic[Value]):
    """What was tried."""

    number: int
    """Place among the trials in the order in which they ended, from 0."""
    value: Value
    """The architecture, or whatever is searched."""
    scores: tuple[float, ...] | None
    """The score, to be maximised, and costs, to be minimised; None if it failed."""
    failure: str | None
    """Why it failed; None if it has a score."""
    course: Course | None = None
    """How its training went, where a pruner may stop it; None elsewhere, and if it failed."""

    @property
    def merit(self) -> tuple[int, float]:
        """What trials are compared by: how far they were trained, where that differs, and then the
        score. One that has none is below all others."""
        if self.scores is None:
            return (-1, -math.inf)
        return (0 if self.course is None else self.course.num_steps, self.scores[0])


class Study(Closing, Generic[Value]):
    """Asks a sampler what to try next, and keeps what came of it.

    A trial is written when it has ended: what a kill interrupts leaves nothing behind, and is tried
    again by whoever goes on. `propose` is a function of the trials so far.
    """

    def __init__(
        self,
        sampler: DomainSampler[Value],
        *,
        journal: Path | None = None,
        shared: SharedStorage | None = None,
    ) -> None:
        """Open the study; a journal's has no trials until `go_back` says how many it has.

        Args:
            sampler: Says what to try next.
            journal: Optuna's journal file, which is made if need be; the caller holds a lock on
                it. None: the trials are kept in memory alone.
            shared: A database in place of the journal, where other processes add trials too.

        Raises:
            FileError: If the file is damaged.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs each trial otherwise
        self.sampler = sampler
        self.shared = shared
        self._journal = (
            None if journal is None or shared is not None else Journal(journal, remedy=_REMEDY)
        )
        self._name = _STUDY_NAME if shared is None else shared.study_name
        self._is_closed = False
        self._num_lines = 0
        self._opened: optuna.Study | None = None
        self._trials: list[Trial[Value]] = []
        self._latest_of: dict[Value, Trial[Value]] = {}

    @property
    def bookmark(self) -> int:
        """Lines of the journal so far, for `go_back`; 0 where trials are shared.

        Raises:
            RuntimeError: If trials are in memory alone.
        """
        if self.shared is not None:
            return 0
        if self._journal is None:
            raise RuntimeError("Study: trials in memory cannot be saved; give it a journal.")
        return self._journal.num_lines if self._opened is not None else self._num_lines

    def go_back(self, bookmark: int) -> None:
        """Go back to the trials that there were at a `bookmark`; later ones are forgotten.

        Shared trials stay: they are not this process's alone.

        Raises:
            FileError: If the journal is shorter.
        """
        if self.shared is not None:
            return
        assert self._journal is not None
        self._journal.keep(bookmark)
        self._num_lines, self._opened, self._trials, self._latest_of = bookmark, None, [], {}

    @property
    def trials(self) -> Sequence[Trial[Value]]:
        """All that were tried, oldest first."""
        if self._is_closed:
            return self._trials
        study = self._study
        with self._reading():
            trials = study.get_trials(deepcopy=False)
            added = [self._read(trial) for trial in trials[len(self._trials) :]]
        self._trials += added
        self._latest_of |= {trial.value: trial for trial in added}
        return self._trials

    def propose(self) -> Value:
        """Return what to try next; the same until a trial is added."""
        study, sampler = self._study, self.sampler
        with self._reading():
            trials = study.get_trials(deepcopy=False)
            trial = FrozenTrial(
                number=len(trials), trial_id=-1, state=TrialState.RUNNING, value=None,
                datetime_start=datetime.now(UTC), datetime_complete=None, params={},
                distributions={}, user_attrs={}, system_attrs={}, intermediate_values={},
            )  # fmt: skip
            chosen = sampler.sample_relative(Snapshot(study, trials), trial, sampler.distributions)
        return sampler.domain.decode(chosen)

    def add(
        self,
        value: Value,
        scores: tuple[float, ...] | None,
        *,
        failure: str | None = None,
        course: Course | None = None,
    ) -> Trial[Value]:
        """Keep what came of a trial, and return it.

        Of shared trials of one value only the first is kept: a worker that was killed before it
        saved tries it again.

        Args:
            value: What was tried.
            scores: The score and, where the sampler has more objectives, the costs; None if it
                failed.
            failure: Why it failed.
            course: How its training went, if a pruner may have stopped it.
        """
        sampler = self.sampler
        assert scores is None or len(scores) == sampler.num_objectives
        if self.shared is not None and (known := self._latest(value)) is not None:
            return known
        attributes: dict[str, object] = {} if failure is None else {_FAILURE: failure}
        if self.shared is not None:
            attributes[_WORKER] = self.shared.worker
        if course is not None:
            attributes[_BRACKET] = course.bracket
        self._study.add_trial(
            create_trial(
                params=sampler.domain.encode(value),
                distributions=sampler.distributions,
                values=scores,
                state=_state_of(scores, course),
                intermediate_values={} if course is None else dict(course.scores),
                user_attrs=attributes,
            )
        )
        added = self._latest(value)
        assert added is not None
        return added

    def close(self) -> None:
        """Close the journal, or the database; `trials` are those that were read."""
        self._is_closed = True
        if self._journal is not None:
            self._journal.close()
        if self.shared is not None:
            self.shared.close()

    def _latest(self, value: Value) -> Trial[Value] | None:
        _ = self.trials  # reads what is new
        return self._latest_of.get(value)

    @property
    def _study(self) -> optuna.Study:
        if self._opened is None:
            if self._journal is not None:
                self._journal.keep(self._num_lines)
            costs = self.sampler.num_objectives - 1
            with self._reading():
                self._opened = optuna.create_study(
                    storage=self._storage(),
                    study_name=self._name,
                    directions=[StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * costs],
                    load_if_exists=True,
                )
        return self._opened

    def _storage(self) -> BaseStorage:
        if self.shared is not None:
            return self.shared.open()
        return InMemoryStorage() if self._journal is None else JournalStorage(self._journal)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Read quickly, and turn what Optuna raises over what makes no sense into our error."""
        if self.shared is not None:
            errors = reading(self.shared.shown, WHAT)
        elif self._journal is not None:
            what = "a journal of this search's trials"
            errors = reading(self._journal.path, what, remedy=_REMEDY)
        else:
            errors = nullcontext()
        with errors, quick_reading():
            yield

    def _read(self, trial: FrozenTrial) -> Trial[Value]:
        """Return a trial; ValueError if it is none that this study can have made."""
        options = self.sampler.domain.options
        for name, option in trial.params.items():
            if option not in options.get(name, ()):
                raise ValueError(f"trial {trial.number} has {name} = {option!r}")
        if trial.params.keys() != options.keys():
            missing = sorted(options.keys() - trial.params.keys())
            raise ValueError(f"trial {trial.number} lacks {missing[0]}")
        return Trial(
            number=trial.number,
            value=self.sampler.domain.decode(trial.params),
            scores=None if trial.values is None else tuple(trial.values),
            failure=trial.user_attrs.get(_FAILURE),
            course=_course_of(trial),
        )


def _state_of(scores: tuple[float, ...] | None, course: Course | None) -> TrialState:
    if scores is None:
        return TrialState.FAIL
    is_pruned = course is not None and course.is_pruned
    return TrialState.PRUNED if is_pruned else TrialState.COMPLETE


def _course_of(trial: FrozenTrial) -> Course | None:
    if not trial.intermediate_values:
        return None
    return Course(
        scores=dict(trial.intermediate_values),
        is_pruned=trial.state == TrialState.PRUNED,
        bracket=trial.user_attrs[_BRACKET],
    )
