"""A study that shows a sampler trials which were read once."""

from collections.abc import Container
from copy import deepcopy as copies

import optuna
from optuna.trial import FrozenTrial, TrialState


class Snapshot(optuna.Study):
    """A study as a sampler sees it: with certain trials, however often it lists them."""

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        """Take the study and the trials, by number."""
        # A copy, since opening it by its name would look it up in its database.
        self.__setstate__(study.__getstate__())
        self._seen = trials

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """Return the trials, or those in some states; Optuna lists them by this alone."""
        trials = self._seen
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copies(trials) if deepcopy else trials
