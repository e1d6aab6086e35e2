"""What every search strategy keeps to; a new one joins by a line in STRATEGIES and one in SETTINGS.

Each is run once, whole, on a toy space; the cuts go on from there.
"""

import dataclasses
import itertools

import pytest
import torch

from autoseg.architecture import Architecture, SearchSpace
from autoseg.config import SearchConfig, values_of
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.runs import Run, seed_everything
from autoseg.strategies import STRATEGIES, SearchTask, budget, search
from tests.training.test_loop import Flag, metrics

SPACE = dataclasses.replace(
    SearchSpace.load("autodeeplab"),
    num_layers=2,
    num_nodes=1,
    filter_multiplier=2,
    stem_channels=(3, 4, 8),
)
COMMON = SearchConfig(
    num_epochs=2, arch_start_epoch=1, batch_size=2, crop_size=(32, 32), val_images=1, seed=1
)
# Four steps and two rounds each; the paths that a cut leads through differ.
SETTINGS = {
    "darts": dataclasses.replace(COMMON, arch_lr=0.1),
    "random": dataclasses.replace(COMMON, num_samples=2, sample_steps=2),
}
NUM_STEPS = 4
NAMES = sorted(STRATEGIES)


def task_of(name, **changes):
    train_dataset, val_dataset = (
        build_dataset("synthetic", split=split, image_size=(48, 48), length=8)
        for split in ("train", "val")
    )
    return SearchTask(
        space=SPACE,
        config=dataclasses.replace(SETTINGS[name], **changes),
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        device=torch.device("cpu"),
    )


def run_search(name, folder, *, stop_after=None, **changes):
    """Start a search, or go on with the one in the folder; returns its result."""
    task = task_of(name, **changes)
    run = (
        Run.resume(folder)
        if folder.exists()
        else Run.create(folder, kind="search", command=["test"], config={}, seed=1)
    )
    with run:
        seed_everything(task.config.seed)
        strategy = STRATEGIES[name](task)
        return search(strategy, task, strategy_name=name, run=run, stop=Flag(stop_after))


@pytest.fixture(scope="module", params=NAMES)
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / request.param
    return request.param, folder, run_search(request.param, folder)


def test_every_strategy_is_in_the_suite():
    assert set(SETTINGS) == set(STRATEGIES)


def test_it_makes_the_steps_that_it_announces(whole):
    name, folder, result = whole
    assert STRATEGIES[name](task_of(name)).num_steps == NUM_STEPS == result.step
    assert result.is_finished
    assert result.rounds == len(metrics(folder)) == 2
    assert result.cost["steps"] == NUM_STEPS
    assert result.cost["evaluations"] >= 1


def test_it_logs_the_names_that_it_declares(whole):
    name, folder, _ = whole
    for line in metrics(folder):
        assert set(line) - {"step", "loss"} == STRATEGIES[name].logs


def test_what_it_decodes_is_of_the_space(whole):
    _, folder, result = whole
    found = result.architecture
    assert (found.strides, found.num_layers, found.num_nodes) == (SPACE.strides, 2, 1)
    levels = [0, *map(SPACE.strides.index, found.path)]
    assert all(abs(after - before) <= 1 for before, after in itertools.pairwise(levels))
    for node, edges in enumerate(found.cell):
        assert {edge.source for edge in edges} <= set(SPACE.predecessors(node))
        assert {edge.op for edge in edges} <= set(SPACE.operations) - {"none"}
    assert found == Architecture.load(folder / "architecture.json")
    assert all(doubt in result.report.text for doubt in result.report.doubts)


@pytest.mark.parametrize("stop_after", range(NUM_STEPS))
def test_after_a_cut_at_any_step_it_ends_the_same(whole, tmp_path, stop_after):
    name, folder, expected = whole
    stopped = run_search(name, tmp_path / "run", stop_after=stop_after)
    assert (stopped.step, stopped.is_finished) == (stop_after, False)
    # A search that ended now would have found something, of which it has a say.
    assert stopped.architecture.num_layers == SPACE.num_layers
    assert stopped.report.text
    result = run_search(name, tmp_path / "run")
    assert result == expected  # the cost in seconds aside
    assert result.cost["evaluations"] == expected.cost["evaluations"]
    assert metrics(tmp_path / "run") == metrics(folder)


def test_a_search_that_is_killed_repeats_what_was_not_saved(whole, tmp_path):
    name, folder, expected = whole

    class Killed(Exception):
        pass

    class Kill:
        asked = 0

        @property
        def requested(self):
            self.asked += 1
            if self.asked > 3:  # in the second round, of which nothing was saved
                raise Killed
            return False

    task = task_of(name)
    with (
        pytest.raises(Killed),
        Run.create(tmp_path / "run", kind="search", command=["test"], config={}, seed=1) as run,
    ):
        seed_everything(task.config.seed)
        search(STRATEGIES[name](task), task, strategy_name=name, run=run, stop=Kill())
    assert [line["step"] for line in metrics(tmp_path / "run")] == [2]
    assert run_search(name, tmp_path / "run") == expected
    assert metrics(tmp_path / "run") == metrics(folder)


def test_the_seed_decides_it(whole, tmp_path):
    name, folder, expected = whole
    assert run_search(name, tmp_path / "again") == expected
    assert metrics(tmp_path / "again") == metrics(folder)
    run_search(name, tmp_path / "other", seed=2)
    assert metrics(tmp_path / "other")[0] != metrics(folder)[0]


def test_it_keeps_to_a_number_of_steps(whole, tmp_path):
    name, _, _ = whole
    changes = {"arch_steps": 3} if name == "darts" else {"arch_steps": 6, "num_samples": 1}
    result = run_search(name, tmp_path / "run", **changes)
    assert result.is_finished
    assert result.step == result.cost["steps"] == 6  # darts: three of them are warm-up


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_to_a_time(name, tmp_path, monkeypatch):
    # A clock that each look moves on: what is measured does not depend on this machine.
    ticks = itertools.count()
    monkeypatch.setattr(budget, "monotonic", lambda: float(next(ticks)))
    result = run_search(name, tmp_path / "run", budget="60s")
    assert result.is_finished
    assert 2 <= result.step < 60
    last = result.step
    ticks = itertools.count()
    stopped = run_search(name, tmp_path / "cut", budget="60s", stop_after=2)
    assert not stopped.is_finished
    resumed = run_search(name, tmp_path / "cut", budget="60s")
    assert resumed.is_finished
    # The time before the stop counts.
    assert last - 3 <= resumed.step <= last


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_what_it_says_and_no_other_setting(name):
    class Watched:
        """Settings that remember who was asked for."""

        def __init__(self, config):
            self.config, self.read = config, set()

        def __getattr__(self, field):
            self.read.add(field)
            return getattr(self.config, field)

    known = set(values_of(COMMON))
    assert STRATEGIES[name].reads <= known
    task = task_of(name)
    watched = Watched(task.config)
    strategy = STRATEGIES[name](dataclasses.replace(task, config=watched))
    budget_of = budget.Budget(num_steps=strategy.num_steps, seconds=None)
    strategy.step(0, budget_of.share(0))
    assert (watched.read & known) - {"seconds"} <= STRATEGIES[name].reads


@pytest.mark.parametrize("name", NAMES)
def test_images_too_few_or_crops_too_small_are_refused(name):
    STRATEGIES[name].check(task_of(name))
    with pytest.raises(UsageError, match="batch_size 5 is larger than the 4"):
        STRATEGIES[name].check(task_of(name, batch_size=5))
    with pytest.raises(UsageError, match=r"crop_size \(16, 32\) leaves maps of one pixel"):
        STRATEGIES[name].check(task_of(name, crop_size=(16, 32)))
