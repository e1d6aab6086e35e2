"""A comparison finds the searches of its networks before anything is measured."""

from pathlib import Path
from types import SimpleNamespace

from autoseg.architecture import Architecture
from autoseg.commands.compare import _searches
from autoseg.requests import CompareRequest
from autoseg.runs import Run
from autoseg.trained import ARCHITECTURE_NAME

FOUND = Architecture.load("autodeeplab_paper")


def make_search(folder, **results):
    with Run.create(folder, kind="search", command=["x"], config={}, seed=0) as run:
        FOUND.save(folder / ARCHITECTURE_NAME)
        run.update(results=results)
        run.finish()


def subject(folder, architecture):
    run = SimpleNamespace(folder=folder, choice=SimpleNamespace(architecture=architecture))
    return SimpleNamespace(trained=SimpleNamespace(run=run))


def test_it_lies_beside_the_retraining_or_under_runs(tmp_path, capsys):
    request = CompareRequest(runs=tmp_path / "runs")
    subjects = [
        subject(tmp_path / "elsewhere" / "retrain" / "searched", FOUND),
        subject(tmp_path / "elsewhere" / "retrain" / "unet", None),
        SimpleNamespace(trained=None),
    ]
    assert _searches(subjects, request) == [None, None, None]
    make_search(tmp_path / "runs" / "under")
    (under, *others) = _searches(subjects, request)
    assert Path(under.folder).name == "under" and others == [None, None]
    make_search(tmp_path / "elsewhere" / "beside")
    (beside, *_) = _searches(subjects, request)
    assert Path(beside.folder).name == "beside"  # the newer one
    make_search(tmp_path / "runs" / "odd", doubts=3)
    assert _searches(subjects, request) == [None, None, None]
    told = capsys.readouterr().err
    assert "odd is not shown: " in told and "results.doubts is 3; it must be a list" in told
