"""The search for CRF parameters: Optuna's TPE over a file of trials that survives a kill."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from autoseg.crf import CRFConfig
from autoseg.errors import reading
from autoseg.runs import schema
from autoseg.runs.closing import Closing
from autoseg.runs.journal import Journal

RANGES: dict[str, FloatDistribution | IntDistribution] = {
    "bilateral_weight": FloatDistribution(0.1, 20, log=True),
    "bilateral_xy_std": FloatDistribution(5, 160, log=True),
    "bilateral_rgb_std": FloatDistribution(1, 40, log=True),
    "spatial_weight": FloatDistribution(0.05, 10, log=True),
    "spatial_xy_std": FloatDistribution(0.5, 8, log=True),
    "num_iterations": IntDistribution(1, 10),
}
"""What is searched; all stock parameters lie inside. The lowest weights are as good as no term."""

_STOCK_NAME = "stock"  # attribute of a trial whose parameters were not sampled
_NUM_RANDOM = 10  # trials before TPE models the scores, Optuna's default


@dataclass(frozen=True, kw_only=True, slots=True)
class CRFTrial:
    """Parameters and how they scored."""

    name: str
    """Source of stock parameters; empty for sampled ones."""
    parameters: CRFConfig
    """What was tried."""
    mean_iou: float
    """Mean IoU that the parameters reach, in [0, 1]."""


_REMEDY = "restore the file, or delete it, and the tuning begins again"


class CRFStudy(Closing):
    """Trials of one study, those of earlier processes included; use as a context manager.

    The sampler is seeded anew for each trial, by the study's seed and the number of trials that
    were completed, so that a study that was stopped goes on as if it had not been.
    """

    def __init__(self, path: Path, *, name: str, seed: int, mode: str) -> None:
        """Open the study, or begin it.

        Args:
            path: Optuna's journal file. The caller holds a lock on it: one process at a time.
            name: The study's name; a file holds several.
            seed: Decides the sampled parameters.
            mode: Mode of the CRF in every trial.

        Warns:
            UserWarning: If the file's last line was cut off; it is dropped.

        Raises:
            FileError: If the file is damaged otherwise; says what to do.
        """
        self._path = path
        self._seed = seed
        self._mode = mode
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs each trial otherwise
        self._journal = Journal(path, remedy=_REMEDY)
        try:
            with self._reading():
                self._study = optuna.create_study(
                    storage=optuna.storages.JournalStorage(self._journal),
                    study_name=name,
                    direction="maximize",
                    load_if_exists=True,
                )
                running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
                for trial in running:
                    self._study.tell(trial.number, state=TrialState.FAIL)  # cut off by a kill
            _ = self.trials  # refuses what a damaged journal may hold before anything is computed
        except BaseException:
            self._journal.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._journal.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what Optuna raises over lines that make no sense into our error."""
        with reading(self._path, "a journal of trials", remedy=_REMEDY):
            yield

    @property
    def trials(self) -> list[CRFTrial]:
        """The completed trials, oldest first."""
        with self._reading():
            completed = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            return [self._read(trial) for trial in completed]

    def step(self, score: Callable[[CRFConfig], float], stock: Mapping[str, CRFConfig]) -> CRFTrial:
        """Score stock parameters that were not scored yet, or else sample some, and keep them.

        Args:
            score: Returns the mean IoU of parameters; what it raises ends the trial.
            stock: Parameters by name, scored first, in this order.
        """
        done = self.trials
        scored = {trial.name for trial in done}
        for name, parameters in stock.items():
            if name not in scored:
                return self._add_stock(name, parameters, score)
        self._study.sampler = optuna.samplers.TPESampler(
            seed=(self._seed * 1_000_003 + len(done)) % 2**32, n_startup_trials=_NUM_RANDOM
        )
        trial = self._study.ask(dict(RANGES))
        try:
            value = score(CRFConfig(**trial.params, mode=self._mode))
        except BaseException:
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        return self._read(self._study.tell(trial, value))

    def _add_stock(
        self, name: str, parameters: CRFConfig, score: Callable[[CRFConfig], float]
    ) -> CRFTrial:
        searched = {name: getattr(parameters, name) for name in RANGES}
        assert parameters == CRFConfig(**searched, mode=self._mode)
        value = score(parameters)
        self._study.add_trial(
            optuna.trial.create_trial(
                params=searched,
                distributions=dict(RANGES),
                value=value,
                user_attrs={_STOCK_NAME: name},
            )
        )
        return CRFTrial(name=name, parameters=parameters, mean_iou=value)

    def _read(self, trial: FrozenTrial) -> CRFTrial:
        """Return a completed trial; ValueError if it is none that this study can have made."""
        schema.number(0, 1)(trial.value, f"the score of trial {trial.number}")
        assert trial.value is not None
        for parameter, each in RANGES.items():
            where = f"{parameter} of trial {trial.number}"
            schema.number(each.low, each.high)(trial.params.get(parameter), where)
        name = trial.user_attrs.get(_STOCK_NAME, "")
        schema.text(name, f"the name of trial {trial.number}")
        return CRFTrial(
            name=name,
            parameters=CRFConfig(**trial.params, mode=self._mode),
            mean_iou=trial.value,
        )
