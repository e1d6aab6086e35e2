"""`python -m autoseg.search --strategy random`: killed, resumed, drawn, and retrained."""

import os
import re
import signal
from pathlib import Path

import pytest

from autoseg import retrain, search
from autoseg.architecture import Architecture
from autoseg.errors import UsageError
from autoseg.runs import load_metrics, load_record
from autoseg.strategies import STRATEGIES
from tests.commands.test_runs_index import listed_states
from tests.one_pixel import one_pixel_figures
from tests.signalled import run_signalled

DATA = ["--image-size", "64", "72", "--train-length", "8", "--device", "cpu"]
SETTINGS = [
    *("--strategy", "random", "--num-samples", "3", "--sample-steps", "2", "--batch-size", "2"),
    *("--val-images", "1", *DATA),
]


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("workplace"), Path.cwd()
    os.chdir(folder)
    try:
        assert search.main([*SETTINGS, "--out", "runs/whole"]) == 0
        yield folder
    finally:
        os.chdir(before)


def without_time(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in load_metrics(folder)]


def test_every_sample_is_kept_and_the_best_is_the_result(inside):
    lines = load_metrics(Path("runs/whole"))
    assert [line["sample"] for line in lines] == [1, 2, 3]
    best = max(lines, key=lambda line: line["score"])
    found = Architecture.load("runs/whole/architecture.json")
    assert found.to_dict() == best["architecture"]
    record = load_record(Path("runs/whole"))
    assert record["state"] == "finished"
    assert (record["config"]["strategy"], record["results"]["sample"]) == ("random", 3)
    cost = record["results"]["cost"]
    assert (cost["steps"], cost["evaluations"]) == (6, 6)
    for name in ("cell", "path", "scores"):
        assert Path(f"runs/whole/figures/{name}.png").stat().st_size > 5000


@one_pixel_figures()
def test_killed_it_resumes_to_the_same_result(inside):
    words = [*SETTINGS, "--out", "runs/killed"]
    # In the middle of the second sample: the first was scored.
    ended = run_signalled(
        "autoseg.search", words, folder=inside, number=signal.SIGKILL, num_steps=3
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert list(Path("runs/killed").glob("checkpoint-*.pt"))
    assert listed_states(Path("runs")) == {"whole": "finished", "killed": "running"}
    assert search.main(["--resume", "--out", "runs/killed"]) == 0
    assert without_time(Path("runs/killed")) == without_time(Path("runs/whole"))
    whole, killed = (Path(f"runs/{run}/architecture.json") for run in ("whole", "killed"))
    assert killed.read_bytes() == whole.read_bytes()


@one_pixel_figures()
def test_retraining_takes_the_newest_search(inside, capsys):
    # No network beside it: a step of the searched one is what is tested.
    steps = ["--num-steps", "1", "--batch-size", "2", "--validate-every", "1", "--val-images", "1"]
    found = "runs/whole/architecture.json"
    assert retrain.main(["--architecture", found, *steps, *DATA, "--out", "runs/retrained"]) == 0
    (kept,) = Path("runs/retrained").rglob("architecture.json")
    assert Architecture.load(kept) == Architecture.load(found)


@one_pixel_figures()
def test_a_supernet_may_score_and_its_settings_are_read(inside, capsys):
    by_supernet = ["--estimator", "supernet", "--num-samples", "2", "--arch-steps", "1"]
    settings = [*SETTINGS[:2], *SETTINGS[6:], *by_supernet]  # without --sample-steps
    assert search.main([*settings, "--num-epochs", "1", "--out", "runs/supernet"]) == 0
    epoch, *samples = load_metrics(Path("runs/supernet"))
    assert (epoch["epoch"], [line["sample"] for line in samples]) == (1, [1, 2])
    assert load_record(Path("runs/supernet"))["results"]["cost"]["evaluations"] == 1
    assert "scored by the weights of a supernet that was trained for 1 steps" in (
        capsys.readouterr().out
    )
    rule = r"--sample-steps: --strategy random --estimator supernet does not read it; leave it out"
    with pytest.raises(ValueError, match=rf"{rule}, or use --strategy random\|"):
        search.main([*settings, "--sample-steps", "3"])


def test_a_strategy_that_is_not_known_any_more_is_asked_for(inside, monkeypatch):
    monkeypatch.delitem(STRATEGIES, "random")
    rule = "runs/whole is a search by the strategy 'random', which does not come with autoseg; give"
    with pytest.raises(UsageError, match=rule):
        search.main(["--resume", "--out", "runs/whole"])


@one_pixel_figures()
def test_a_strategy_of_ones_own_is_searched_by_the_command(inside):
    page = (Path(search.__file__).parents[1] / "docs" / "adding_strategies.md").read_text()
    code = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    Path("my_strategy.py").write_text("\n".join(code))
    mine = ["--import", "my_strategy.py", "--strategy", "largest", "--num-samples", "2"]
    try:
        assert search.main([*mine, *DATA, "--out", "runs/mine"]) == 0
    finally:
        STRATEGIES.pop("largest", None)
    sizes = [line["num_params"] for line in load_metrics(Path("runs/mine"))]
    assert len(sizes) == 2
    doubts = load_record(Path("runs/mine"))["results"]["doubts"]
    assert doubts == ["Parameters say nothing of how well a network segments."]


def test_short_trainings_end_by_their_steps_or_by_their_number_however_they_are_scored():
    for estimator in ("short", "speed"):
        ends = ["--strategy", "random", "--estimator", estimator]
        with pytest.raises(UsageError, match=r"^--arch-steps and --num-samples: each says when"):
            search.main([*ends, "--arch-steps", "8", "--num-samples", "2"])
