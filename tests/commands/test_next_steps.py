"""Lines to go on with: quoted for the shell, and complete."""

import shlex
from pathlib import Path

import pytest

from autoseg.commands import next_steps
from autoseg.requests import RetrainRequest, SearchRequest, TuneRequest
from autoseg.runs import Run
from autoseg.trained import REFERENCES

SEARCH, RETRAIN = "python -m autoseg.search", "python -m autoseg.retrain"


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def finished_search(folder):
    with Run.create(Path(folder), kind="search", command=["x"], config={}, seed=0) as run:
        run.finish()
    return Path(folder)


def test_a_stopped_run_goes_on_where_and_how_it_ran():
    folder = Path("my runs/a;b")
    assert shlex.split(next_steps.go_on(SEARCH, SearchRequest(), folder)) == [
        *SEARCH.split(),
        *("--resume", "--out", "my runs/a;b"),
    ]
    # What the record has is not said again; what it lacks or may differ is.
    request = SearchRequest(
        device="cuda:1", num_workers=2, cuda_graph=False, batch_size=4, out=folder, resume=True
    )
    assert next_steps.go_on(SEARCH, request, folder) == (
        f"{SEARCH} --resume --out 'my runs/a;b' --no-cuda-graph --device cuda:1 --num-workers 2"
    )
    request = RetrainRequest(weights=Path("a b.pth"), data_root=None, network=("unet",))
    assert next_steps.go_on(RETRAIN, request, Path("r")) == (
        f"{RETRAIN} --resume --out r --data-root none --weights 'a b.pth'"
    )


def test_a_run_of_several_processes_goes_on_with_as_many(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert next_steps.go_on(RETRAIN, RetrainRequest(), Path("r")) == (
        "torchrun --nproc-per-node 4 -m autoseg.retrain --resume --out r"
    )


def test_after_a_search_the_newest_needs_no_name():
    first = finished_search("runs/first")
    assert next_steps.after_search(SearchRequest(), first) == RETRAIN
    finished_search("runs/second")
    named = f"{RETRAIN} --architecture runs/first/architecture.json --network "
    assert next_steps.after_search(SearchRequest(), first) == named + " ".join(REFERENCES)
    elsewhere = finished_search("else where")
    line = next_steps.after_search(SearchRequest(device="cpu"), elsewhere)
    assert shlex.split(line)[3:5] == ["--architecture", "else where/architecture.json"]
    assert line.endswith(" --device cpu")


def test_after_a_retraining_a_folder_elsewhere_is_named():
    compare = "python -m autoseg.compare"
    assert next_steps.after_retraining(RetrainRequest(), Path("runs/r")) == compare
    assert next_steps.after_retraining(RetrainRequest(), Path("x/runs")) == f"{compare} x/runs"
    inside = Path("runs/r").absolute()
    assert next_steps.after_retraining(RetrainRequest(device="cpu"), inside) == (
        f"{compare} --device cpu"
    )


def test_after_a_tuning_the_same_weights_are_scored():
    request = TuneRequest(what="crf", run=Path("r"), weights="last", data_root=Path("my data"))
    assert next_steps.after_tuning(request, Path("r/unet")) == (
        "python -m autoseg.evaluate r/unet --crf --weights last --data-root 'my data'"
    )
