"""The trials of a search, in an Optuna study: what was tried, and how it scored."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic

import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoseg.errors import reading
from autoseg.proposers.domain import Value
from autoseg.proposers.samplers import DomainSampler
from autoseg.runs.closing import Closing
from autoseg.runs.journal import Journal

_REMEDY = "restore the file, or begin the search again in another folder"
_FAILURE = "failure"  # attribute of a trial without a score
_STUDY_NAME = "search"  # in a file that holds nothing else


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


class Study(Closing, Generic[Value]):
    """Asks a sampler what to try next, and keeps what came of it.

    A trial is written when it has ended: what a kill interrupts leaves nothing behind, and is tried
    again by whoever goes on. `propose` is a function of the trials so far.
    """

    def __init__(self, sampler: DomainSampler[Value], *, journal: Path | None = None) -> None:
        """Open the study; it has no trials until `go_back` says how many of the file's it has.

        Args:
            sampler: Says what to try next.
            journal: Optuna's journal file, which is made if need be; the caller holds a lock on
                it. None: the trials are kept in memory alone.

        Raises:
            FileError: If the file is damaged.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs each trial otherwise
        self.sampler = sampler
        self._journal = None if journal is None else Journal(journal, remedy=_REMEDY)
        self._num_lines = 0
        self._opened: optuna.Study | None = None
        self._trials: list[Trial[Value]] = []

    @property
    def bookmark(self) -> int:
        """Lines of the journal so far, for `go_back`.

        Raises:
            RuntimeError: If there is none.
        """
        if self._journal is None:
            raise RuntimeError("Study: trials in memory cannot be saved; give it a journal.")
        return self._journal.num_lines if self._opened is not None else self._num_lines

    def go_back(self, bookmark: int) -> None:
        """Go back to the trials that there were at a `bookmark`; later ones are forgotten.

        Raises:
            FileError: If the journal is shorter.
        """
        assert self._journal is not None
        self._journal.keep(bookmark)
        self._num_lines, self._opened, self._trials = bookmark, None, []

    @property
    def trials(self) -> Sequence[Trial[Value]]:
        """All that were tried, oldest first."""
        study = self._study
        with self._reading():
            trials = study.get_trials(deepcopy=False)
            self._trials += [self._read(trial) for trial in trials[len(self._trials) :]]
        return self._trials

    def propose(self) -> Value:
        """Return what to try next; the same until a trial is added."""
        storage, sampler = self._study._storage, self.sampler
        with self._reading():
            # Opened anew, since its samplers see the trials that there were when they first asked.
            study = optuna.Study(study_name=_STUDY_NAME, storage=storage)
            number = len(study.get_trials(deepcopy=False))
            trial = FrozenTrial(
                number=number, trial_id=-1, state=TrialState.RUNNING, value=None,
                datetime_start=datetime.now(UTC), datetime_complete=None, params={},
                distributions={}, user_attrs={}, system_attrs={}, intermediate_values={},
            )  # fmt: skip
            chosen = sampler.sample_relative(study, trial, sampler.distributions)
        return sampler.domain.decode(chosen)

    def add(
        self, value: Value, scores: tuple[float, ...] | None, *, failure: str | None = None
    ) -> None:
        """Keep what came of a trial.

        Args:
            value: What was tried.
            scores: The score and, where the sampler has more objectives, the costs; None if it
                failed.
            failure: Why it failed.
        """
        sampler = self.sampler
        assert scores is None or len(scores) == sampler.num_objectives
        self._study.add_trial(
            create_trial(
                params=sampler.domain.encode(value),
                distributions=sampler.distributions,
                values=scores,
                state=TrialState.FAIL if scores is None else TrialState.COMPLETE,
                user_attrs={} if failure is None else {_FAILURE: failure},
            )
        )

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    @property
    def _study(self) -> optuna.Study:
        if self._opened is None:
            if self._journal is not None:
                self._journal.keep(self._num_lines)
            costs = self.sampler.num_objectives - 1
            with self._reading():
                self._opened = optuna.create_study(
                    storage=(
                        InMemoryStorage()
                        if self._journal is None
                        else JournalStorage(self._journal)
                    ),
                    study_name=_STUDY_NAME,
                    directions=["maximize", *["minimize"] * costs],
                    load_if_exists=True,
                )
        return self._opened

    def _reading(self) -> AbstractContextManager[None]:
        """Turn what Optuna raises over lines that make no sense into our error."""
        if self._journal is None:
            return nullcontext()
        return reading(self._journal.path, "a journal of this search's trials", remedy=_REMEDY)

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
        )
