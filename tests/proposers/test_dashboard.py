"""optuna-dashboard reads the studies of a search, where it is installed."""

import io
import json
from wsgiref.util import setup_testing_defaults

import pytest

from autoseg.proposers import ArchitectureDomain, RandomSampler, SharedStorage, Study
from tests.proposers.domains import SPACE

DOMAIN = ArchitectureDomain(SPACE)


def get(app, path):
    """Ask a WSGI application for a page of JSON."""
    environ = {"PATH_INFO": path, "wsgi.errors": io.StringIO()}
    setup_testing_defaults(environ)
    states = []
    body = b"".join(app(environ, lambda state, headers, *_: states.append(state)))
    assert states == ["200 OK"]
    return json.loads(body)


@pytest.mark.filterwarnings("ignore")  # those of another project
@pytest.mark.parametrize("kind", ["journal", "database"])
def test_the_dashboard_shows_every_trial(kind, tmp_path):
    dashboard = pytest.importorskip("optuna_dashboard", reason="needs pip install optuna-dashboard")
    where = str(tmp_path / "trials.journal")
    shared = None
    if kind == "database":
        where = f"sqlite:///{tmp_path}/trials.db"
        shared = SharedStorage(where, study_name="shared", worker=0)
    journal = tmp_path / "trials.journal" if shared is None else None
    scores = [(0.25,), (0.5,), None]
    with Study(RandomSampler(DOMAIN, seed=(0,)), journal=journal, shared=shared) as study:
        for score in scores:
            study.add(study.propose(), score, failure=None if score else "a loss was NaN")
        tried = [DOMAIN.encode(trial.value) for trial in study.trials]

    app = dashboard.wsgi(where)
    (summary,) = get(app, "/api/studies")["study_summaries"]
    assert summary["study_name"] == ("search" if shared is None else "shared")
    trials = get(app, f"/api/studies/{summary['study_id']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Complete", "Fail"]
    assert [trial.get("values") for trial in trials[:2]] == [[0.25], [0.5]]
    for trial, chosen in zip(trials, tried, strict=True):
        shown = {each["name"]: each["param_external_value"] for each in trial["params"]}
        assert shown == chosen
