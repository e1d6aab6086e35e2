"""Optuna's storage for databases, but quick: choices are written and read together.

Optuna looks every choice up before it writes it, and makes an object of each one that it reads:
26 of them a trial in Auto-DeepLab's space. Tables and rows are Optuna's own, so that its dashboard,
and whoever has a database of before, see no difference.
"""

from collections import defaultdict
from collections.abc import Container
from copy import copy
from copy import deepcopy as copies
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage, _CachedStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import insert, select
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.attributes import set_committed_value


class CachedDatabase(_CachedStorage):
    """A database of whose trials those that have ended are read once.

    Optuna's own cache asks every trial for its number whenever it lists them.
    """

    def __init__(self, url: str) -> None:
        """Connect to a database, and make its tables if need be."""
        self._database = Database(url)
        super().__init__(self._database)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials of a study by number."""
        self._read_trials_from_remote_storage(study_id)
        with self._lock:
            known = self._studies[study_id].trials
            trials = [known[number] for number in sorted(known)]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copies(trials) if deepcopy else trials

    def close(self) -> None:
        """Close the connections."""
        self._database.remove_session()
        self._database.engine.dispose()


class Database(RDBStorage):
    """Trials in a database that other processes read and write too.

    It takes the place of the two methods by which Optuna adds a trial, in one transaction, and
    reads what is new.
    """

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> Any:
        """Let Optuna write a trial without its choices, and then all of these.

        Optuna would also compare the options of each with those in trials before; a search does so
        where it reads a trial.
        """
        if template_trial is None:
            return super()._get_prepared_new_trial(study_id, None, session)
        bare = copy(template_trial)
        bare.params, bare.distributions = {}, {}
        trial = super()._get_prepared_new_trial(study_id, bare, session)
        choices = [
            {
                "trial_id": trial.trial_id,
                "param_name": name,
                "param_value": distribution.to_internal_repr(template_trial.params[name]),
                "distribution_json": distribution_to_json(distribution),
            }
            for name, distribution in template_trial.distributions.items()
        ]
        if choices:
            session.execute(insert(models.TrialParamModel), choices)
        return trial

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Let Optuna read the trials after one without their choices, and then all of these.

        Trials that are asked for one by one, since they had not ended, are none of a search; Optuna
        reads them.
        """
        if states is not None or included_trial_ids:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        trial, choice = models.TrialModel, models.TrialParamModel
        is_asked = (trial.study_id == study_id, trial.trial_id > trial_id_greater_than)
        rows = (trial.values, trial.user_attributes, trial.system_attributes)
        with self.scoped_session() as session:
            found = session.scalars(
                select(trial)
                .where(*is_asked)
                .order_by(trial.trial_id)
                .options(*map(selectinload, (*rows, trial.intermediate_values)))
            ).all()
            if not found:
                return []
            for each in found:  # so that Optuna does not look for them
                set_committed_value(each, "params", [])
            trials = [self._build_frozen_trial_from_trial_model(each) for each in found]
            chosen = session.execute(
                select(
                    choice.trial_id,
                    choice.param_name,
                    choice.param_value,
                    choice.distribution_json,
                )
                .join(trial)
                .where(*is_asked)
                .order_by(choice.param_id)
            )
            parse = cache(json_to_distribution)  # the options of a parameter are the same in all
            params: dict[int, dict[str, Any]] = defaultdict(dict)
            distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
            for trial_id, name, value, options in chosen:
                distribution = parse(options)
                params[trial_id][name] = distribution.to_external_repr(value)
                distributions[trial_id][name] = distribution
        for each in trials:
            each.params, each.distributions = params[each._trial_id], distributions[each._trial_id]
        return trials
