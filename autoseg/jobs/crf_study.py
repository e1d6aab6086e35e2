"""The search for CRF parameters: Optuna's TPE over a file of trials that survives a kill."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from autoseg.crf import CRFSettings

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
    """Where stock parameters come from; empty for sampled ones."""
    parameters: CRFSettings
    """What was tried."""
    mean_iou: float
    """Its score, in [0, 1]."""


class CRFStudy:
    """Trials of one study, those of earlier processes included.

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
        """
        # A kill may leave the lock of Optuna's file, which the next process would wait for.
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs each trial otherwise
        backend = JournalFileBackend(str(path))
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
        self._seed = seed
        self._mode = mode
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)  # cut off by a kill

    @property
    def trials(self) -> list[CRFTrial]:
        """The completed trials, oldest first."""
        completed = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [self._read(trial) for trial in completed]

    def step(
        self, score: Callable[[CRFSettings], float], stock: Mapping[str, CRFSettings]
    ) -> CRFTrial:
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
            seed=self._seed * 1_000_003 + len(done), n_startup_trials=_NUM_RANDOM
        )
        trial = self._study.ask(dict(RANGES))
        try:
            value = score(CRFSettings(**trial.params, mode=self._mode))
        except BaseException:
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        return self._read(self._study.tell(trial, value))

    def _add_stock(
        self, name: str, parameters: CRFSettings, score: Callable[[CRFSettings], float]
    ) -> CRFTrial:
        searched = {name: getattr(parameters, name) for name in RANGES}
        assert parameters == CRFSettings(**searched, mode=self._mode)
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
        assert trial.value is not None
        return CRFTrial(
            name=trial.user_attrs.get(_STOCK_NAME, ""),
            parameters=CRFSettings(**trial.params, mode=self._mode),
            mean_iou=trial.value,
        )
