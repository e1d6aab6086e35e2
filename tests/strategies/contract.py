"""What every search strategy keeps to, as checks that any strategy can be put through.

A strategy joins by one line in SETTINGS: few steps and at least two rounds on the toy space.
"""

import dataclasses
import functools
import itertools
import shutil
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
import torch

from autoseg.architecture import Architecture, SearchSpace
from autoseg.config import SearchConfig, values_of
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.proposers import ArchitectureDomain, Study, predictor
from autoseg.runs import Run, StopRequest, seed_everything
from autoseg.strategies import STRATEGIES, SearchResult, SearchTask, search
from autoseg.strategies.discrete_search import DiscreteSearch
from autoseg.training import budget
from tests.proposers.domains import SPACE as TOY
from tests.proposers.domains import planted
from tests.training.test_loop import Flag, metrics

SPACE = dataclasses.replace(
    SearchSpace.load("autodeeplab"),
    num_layers=2,
    num_nodes=1,
    filter_multiplier=2,
    stem_channels=(3, 4, 8),
)
COMMON = SearchConfig(
    num_epochs=2,
    arch_start_epoch=1,
    num_samples=3,  # the third draw is the first one that a resumed search makes by itself
    sample_steps=2,
    batch_size=2,
    crop_size=(32, 32),
    val_images=1,
    seed=1,
)
LEARNING = dataclasses.replace(COMMON, population_size=2, tournament_size=2)  # from the third on
SETTINGS = {
    "darts": dataclasses.replace(COMMON, arch_lr=0.1),
    "darts by perturbation": dataclasses.replace(COMMON, arch_lr=0.1, selection="perturbation"),
    "darts2": dataclasses.replace(COMMON, arch_lr=0.1),
    "gumbel": dataclasses.replace(COMMON, arch_lr=0.1),
    "robust": dataclasses.replace(COMMON, arch_lr=0.1),
    "pc": dataclasses.replace(COMMON, arch_lr=0.1, partial_channels=2),
    "drnas": dataclasses.replace(COMMON, arch_lr=0.1),
    "random": COMMON,
    "evolution": LEARNING,
    "tpe": LEARNING,
    "predictor": LEARNING,
    "nsga2": LEARNING,
    "random by halving": dataclasses.replace(
        COMMON, pruner="halving", sample_steps=4, reduction_factor=2, arch_steps=10
    ),
    "random by speed": dataclasses.replace(COMMON, estimator="speed"),
    "random by NWOT": dataclasses.replace(COMMON, estimator="nwot"),
    "random by supernet": dataclasses.replace(COMMON, estimator="supernet"),
    "random by shared": dataclasses.replace(COMMON, estimator="shared"),
    "random by finetuned": dataclasses.replace(COMMON, estimator="finetuned"),
}


def strategy_of(name):
    """The class behind a name in SETTINGS, which may have words for its settings."""
    return STRATEGIES[name.split()[0]]


class Whole(NamedTuple):
    """A search that nothing stopped."""

    folder: Path
    result: SearchResult


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


def run_search(name, folder, *, stop=None, **changes):
    """Start a search, or go on with the one in the folder; returns its result."""
    task = dataclasses.replace(task_of(name, **changes), journal=folder / "trials.journal")
    run = (
        Run.resume(folder)
        if folder.exists()
        else Run.create(folder, kind="search", command=["test"], config={}, seed=1)
    )
    with run:
        seed_everything(task.config.seed)
        with strategy_of(name)(task) as strategy:
            return search(
                strategy, task, strategy_name=name.split()[0], run=run, stop=stop or Flag()
            )


def run_whole(name, folder):
    return Whole(folder, run_search(name, folder))


def check_it_makes_the_steps_that_it_announces(name, whole, tmp_path):
    result = whole.result
    assert result.is_finished
    assert strategy_of(name)(task_of(name)).num_steps == result.step == result.cost["steps"]
    assert result.rounds == len(metrics(whole.folder)) >= 2
    assert result.cost["evaluations"] >= 0


def check_it_logs_the_names_that_it_declares(name, whole, tmp_path):
    lines = [set(line) - {"step", "loss"} for line in metrics(whole.folder)]
    assert set().union(*lines) == strategy_of(name)(task_of(name)).logs


def check_what_it_decodes_is_of_the_space(name, whole, tmp_path):
    found = whole.result.architecture
    assert (found.strides, found.num_layers, found.num_nodes) == (SPACE.strides, 2, 1)
    levels = [0, *map(SPACE.strides.index, found.path)]
    assert all(abs(after - before) <= 1 for before, after in itertools.pairwise(levels))
    for node, edges in enumerate(found.cell):
        assert {edge.source for edge in edges} <= set(SPACE.predecessors(node))
        assert {edge.op for edge in edges} <= set(SPACE.operations) - {"none"}
    assert found == Architecture.load(whole.folder / "architecture.json")


def check_it_says_how_far_its_result_can_be_trusted(name, whole, tmp_path):
    assert whole.result.report.text
    assert all(doubt in whole.result.report.text for doubt in whole.result.report.doubts)


def check_cut_after_every_step_it_ends_the_same(name, whole, tmp_path):
    folder = tmp_path / "run"
    for step in range(whole.result.step):
        result = run_search(name, folder, stop=Flag(0 if step == 0 else 1))
        assert (result.step, result.is_finished) == (step, False)
        # A search that ended now would have found something, of which it has a say.
        assert result.architecture.num_layers == SPACE.num_layers
        assert result.report.text
    result = run_search(name, folder)
    assert result == whole.result  # the cost in seconds aside
    assert result.cost["evaluations"] == whole.result.cost["evaluations"]
    assert metrics(folder) == metrics(whole.folder)


def check_a_search_that_is_killed_repeats_what_was_not_saved(name, whole, tmp_path):
    # What is on the disk is all that SIGKILL leaves: no code of the process survives to close a
    # file, or to write of its end. So the folder is copied in the middle of the search.
    folder, killed = tmp_path / "run", tmp_path / "killed"

    class Killed(Exception):
        pass

    class Kill(StopRequest):
        asked = 0

        @property
        def requested(self):
            self.asked += 1
            if self.asked > whole.result.step - 1:  # all but one step done, and not all saved
                shutil.copytree(folder, killed)
                raise Killed
            return False

    with pytest.raises(Killed):
        run_search(name, folder, stop=Kill())
    assert metrics(killed) == metrics(whole.folder)[: len(metrics(killed))]
    assert len(metrics(killed)) < len(metrics(whole.folder))
    assert run_search(name, killed) == whole.result
    assert metrics(killed) == metrics(whole.folder)


def check_the_seed_decides_it(name, whole, tmp_path):
    assert run_search(name, tmp_path / "again") == whole.result
    assert metrics(tmp_path / "again") == metrics(whole.folder)
    run_search(name, tmp_path / "other", seed=2)
    assert metrics(tmp_path / "other") != metrics(whole.folder)


def check_it_keeps_to_a_time(name, whole, tmp_path):
    assert {"budget", "seed"} <= strategy_of(name).settings(SETTINGS[name])

    def clock():
        # Each look moves it on: what is measured does not depend on this machine.
        ticks = itertools.count()
        return mock.patch.object(budget, "monotonic", lambda: float(next(ticks)))

    with clock():
        result = run_search(name, tmp_path / "run", budget="30s", arch_steps=0)
    assert result.is_finished
    assert 2 <= result.step < 30
    with clock():
        stopped = run_search(name, tmp_path / "cut", budget="30s", arch_steps=0, stop=Flag(2))
    assert not stopped.is_finished
    with clock():
        resumed = run_search(name, tmp_path / "cut", budget="30s", arch_steps=0)
    assert resumed.is_finished
    # The time before the stop counts.
    assert result.step - 4 <= resumed.step <= result.step


def check_it_reads_the_settings_that_it_names_and_no_other(name, whole, tmp_path):
    class Watched:
        """Settings that remember which of them were asked for."""

        def __init__(self, config):
            self.config, self.read = config, set()

        def __getattr__(self, field):
            self.read.add(field)
            return getattr(self.config, field)

    known, reads = set(values_of(COMMON)), strategy_of(name).settings(SETTINGS[name])
    assert reads <= known
    task = task_of(name)
    watched = Watched(task.config)
    strategy_of(name).check(dataclasses.replace(task, config=watched))
    strategy = strategy_of(name)(dataclasses.replace(task, config=watched))
    spent = budget.Budget(num_steps=strategy.num_steps, seconds=None)
    for step in range(strategy.num_steps):
        rounds = strategy.rounds_done(spent.share(step))
        strategy.step(step, spent.share(step))
        if strategy.rounds_done(spent.share(step + 1)) > rounds:
            strategy.end_round(step + 1, spent.share(step + 1), phase=mock.MagicMock())
    strategy.report()
    # The others decide how a result is computed, or belong to the loop.
    of_a_target = {"macs_weight", "latency_weight", "latency_table"}  # read beside one alone
    assert reads - watched.read <= {"budget", "seed", "backend", "resident_gib"} | of_a_target
    # Looked for by all; a strategy without a penalty refuses them.
    assert watched.read & known <= reads | {"macs_target", "latency_target"}


def check_images_too_few_or_crops_too_small_are_refused(name, whole, tmp_path):
    reads = strategy_of(name).settings(SETTINGS[name])
    strategy_of(name).check(task_of(name))
    if "batch_size" in reads:
        with pytest.raises(UsageError, match="batch_size 5 is larger than the 4"):
            strategy_of(name).check(task_of(name, batch_size=5))
    if "crop_size" in reads:
        with pytest.raises(UsageError, match=r"crop_size \(16, 32\) leaves maps of one pixel"):
            strategy_of(name).check(task_of(name, crop_size=(16, 32)))


def check_it_finds_a_planted_optimum_more_often_than_random(name, whole, tmp_path):
    if not issubclass(strategy_of(name), DiscreteSearch) or name.startswith("random"):
        return  # there is nothing that it chooses by scores of single architectures
    # 12 optima in a space of 2,916, of which 100 are tried: random finds one in 29. Who has found
    # enough of them need not look for the others.
    num_wanted = num_found_by_random() + 4
    assert (
        sum(itertools.islice(filter(None, planted_found(strategy_of(name))), num_wanted))
        == num_wanted
    )


@functools.cache
def num_found_by_random():
    """Count the optima that random search finds."""
    return sum(planted_found(STRATEGIES["random"]))


def planted_found(strategy):
    """Tell of each of the 12 optima that are planted whether the strategy finds it."""
    config = dataclasses.replace(COMMON, population_size=10, tournament_size=5)

    def is_found(seed):
        best, score = planted(TOY, seed)
        study = Study(strategy.sampler(ArchitectureDomain(TOY), config, (seed,)))
        for _ in range(100):
            value = study.propose()
            if value == best:
                return True
            study.add(value, (score(value), *[1.0] * (study.sampler.num_objectives - 1)))
        return False

    # A predictor that chooses among fewer has a harder task, in an eighth of the time.
    with mock.patch.object(predictor, "NUM_DRAWS", 64):
        yield from map(is_found, range(12))


CHECKS = [value for key, value in list(globals().items()) if key.startswith("check_")]
"""All of them, as `check(name, whole, tmp_path)`."""
