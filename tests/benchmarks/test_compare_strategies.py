"""The comparison of strategies: what is drawn, what differs by chance, going on after a stop."""

import dataclasses
import importlib
import json
import math
import subprocess
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from autoseg.architecture import SearchSpace, sample_architecture
from autoseg.cli import INTERRUPTED, read_request
from autoseg.commands.search import _require_read
from autoseg.config import SEARCH_PRESETS, SearchConfig
from autoseg.cost import count_macs
from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.requests import SearchRequest
from autoseg.strategies import STRATEGIES
from tests.reporting.drawn_texts import require_readable

SPACE = SearchSpace.load("autodeeplab", preset="tiny")


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Import a module of the benchmark by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    monkeypatch.chdir(tmp_path)
    return importlib.import_module


def embedded(module, num_test_images=None):
    return module("strategy_comparison.images").Images(
        dataset="synthetic", data_root=None, num_test_images=num_test_images
    )


@pytest.fixture
def unpriced(module):
    return module("strategy_comparison.trial").Setting(
        space=SPACE,
        space_name="autodeeplab",
        prices=mock.sentinel.prices,
        limit=45_000_000,
        num_steps=2,
        images=embedded(module, 4),
    )


@pytest.fixture
def setting(module, unpriced):
    prices = module("strategy_comparison.trial").price_networks(SPACE, unpriced.images)
    return dataclasses.replace(unpriced, prices=prices)


def row(module, contestant, seed, miou):
    return module("strategy_comparison.rows").Row(
        contestant=contestant,
        seed=seed,
        miou=miou,
        path="4 8",
        cell="0:skip_connect",
        macs=10 + seed,
        parameters=7,
        search_steps=3,
        search_evaluations=6,
        search_processor_s=1.5,
        search_s=2.5,
        commit="a",
    )


def test_what_is_drawn_costs_what_the_limit_allows(module, setting):
    trial = module("strategy_comparison.trial")
    find = module("strategy_comparison.contestants").find_contestant
    drawn = [trial.draw_architecture(find("drawn"), setting, seed) for seed in range(2)]
    assert len(set(drawn)) == 2
    assert drawn[0] == trial.draw_architecture(find("drawn"), setting, 0)
    untrained = [trial.draw_architecture(find("untrained"), setting, seed) for seed in range(2)]
    # Along the border of the trellis a node has the fewest edges, so that each weighs most.
    assert [each.path for each in untrained] == [(4,) * 6] * 2
    assert untrained[0].cell != untrained[1].cell
    drawn += untrained
    for architecture in drawn:
        network = build_network(architecture, num_classes=12, width=1 / 8, filter_multiplier=8)
        _, macs = trial.score(network, embedded(module, 1))
        assert macs == setting.prices.cost(architecture)
        assert 40_500_000 <= macs <= 45_000_000


def test_images_that_are_read_are_seen_as_a_retraining_sees_them(module, tmp_path):
    (tmp_path / "test.txt").write_text("a.png b.png\n")
    for name, mode in (("a", "RGB"), ("b", "L")):
        Image.new(mode, (480, 360)).save(tmp_path / f"{name}.png")
    (tmp_path / "train.txt").write_text("a.png b.png\n" * 367)  # as many as CamVid has
    images = module("strategy_comparison.images").Images(
        dataset="camvid", data_root=tmp_path, num_test_images=None
    )
    assert images.options == ("--dataset", "camvid", "--data-root", str(tmp_path))
    assert images.description == "1 test images of camvid"
    assert images.seen_size == (120, 160)
    network = build_network(
        sample_architecture(SPACE, torch.Generator().manual_seed(0)),
        num_classes=11,
        width=1 / 8,
        filter_multiplier=8,
    )
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    miou, macs = module("strategy_comparison.trial").score(network, images)
    assert seen[0] == (1, 3, 120, 160) and 0 <= miou <= 1
    assert macs == count_macs(network, (120, 160)).macs
    # Half of 367 images is 183, and 22 batches of 8; 16 epochs of 32 steps are 23 of those.
    assert images.epoch_steps == 22
    darts = module("strategy_comparison.contestants").find_contestant("darts")
    assert darts.search_options(22)[2:] == ("--num-epochs", "23", "--arch-start-epoch", "12")
    assert darts.search_options(32)[2:] == ("--num-epochs", "16", "--arch-start-epoch", "8")


def test_an_epoch_of_the_embedded_dataset_is_that_of_the_search(module):
    images = embedded(module)
    assert images.epoch_steps == module("strategy_comparison.contestants").EPOCH_STEPS
    assert (images.options, images.image_scale) == ((), 1)
    assert images.description == "512 test scenes of the embedded dataset"


def test_what_was_made_with_another_setting_is_not_mixed_in(module, unpriced, tmp_path):
    report, trial = module("strategy_comparison.report"), module("strategy_comparison.trial")
    rows = [row(module, "drawn", 0, 0.3)]
    report.write_report(tmp_path, rows, setting=unpriced, command=["a"])
    report.write_report(tmp_path, rows, setting=unpriced, command=["a"])
    for name, other, message in (
        ("limit", 1, "max_macs = 45000000, not 1"),
        ("images", embedded(module, 5), "num_test_images = 4, not 5"),
    ):
        with pytest.raises(UsageError, match=message):
            changed = dataclasses.replace(unpriced, **{name: other})
            report.write_report(tmp_path, rows, setting=changed, command=["a"])
    begun = {"config": {"dataset": "camvid", "num_steps": 2}}
    with (
        mock.patch.object(trial, "find_runs", lambda folder: [folder]),
        mock.patch.object(trial, "load_record", lambda folder: begun),
    ):
        trial._require_same(tmp_path, dataset="camvid", num_steps=2)
        with pytest.raises(UsageError, match=r"dataset = camvid, not synthetic.*--runs"):
            trial._require_same(tmp_path, dataset="synthetic", num_steps=2)


def test_differences_are_those_of_scipy(module):
    differences = module("strategy_comparison.differences")
    generator = np.random.default_rng(0)
    for num, other in ((3, 4), (5, 12), (2, 2)):
        own, drawn = generator.normal(0.5, 0.1, num), generator.normal(0.4, 0.2, other)
        welch = stats.ttest_ind(own, drawn, equal_var=False).statistic
        gain = own.mean() - drawn.mean()
        assert gain / differences.standard_error(own, drawn) == pytest.approx(welch)
        exact = stats.permutation_test(
            (own, drawn), lambda a, b: a.mean() - b.mean(), n_resamples=np.inf
        )
        two_sided = np.mean(np.abs(exact.null_distribution) >= abs(exact.statistic) - 1e-12)
        assert differences.permutation_p_value(own, drawn) == pytest.approx(two_sided)
    assert math.isnan(differences.standard_error([1.0], [1.0, 2.0]))


def test_drawn_divisions_stand_for_all(module, monkeypatch):
    differences = module("strategy_comparison.differences")
    generator = np.random.default_rng(1)
    own, drawn = generator.normal(0.5, 0.1, 5), generator.normal(0.4, 0.1, 8)
    exact = differences.permutation_p_value(own, drawn)
    monkeypatch.setattr(differences, "_MAX_EXACT", 1000)
    # Five standard deviations of a share of 1,000 draws.
    tolerance = 5 * math.sqrt(exact * (1 - exact) / 1000)
    assert differences.permutation_p_value(own, drawn) == pytest.approx(exact, abs=tolerance)


def test_p_is_adjusted_as_holm_says(module):
    holm = module("strategy_comparison.differences").holm
    # By hand: 4 * 0.01, 3 * 0.02, 2 * 0.03, and 1 * 0.04, which is less than the one before.
    adjusted = holm([0.03, 0.01, math.nan, 0.02, 0.04])
    assert adjusted == pytest.approx([0.06, 0.04, math.nan, 0.06, 0.06], nan_ok=True)
    assert holm([0.7, 0.9]) == [1, 1]


def test_summaries_compare_with_what_was_drawn(module):
    rows = [row(module, "drawn", seed, miou) for seed, miou in enumerate((0.3, 0.4, 0.5))]
    rows += [row(module, "random", seed, miou) for seed, miou in enumerate((0.6, 0.8))]
    random, drawn = module("strategy_comparison.differences").summarise(rows)
    assert (drawn.num, drawn.miou, drawn.deviation) == (3, pytest.approx(0.4), pytest.approx(0.1))
    assert math.isnan(drawn.gain) and math.isnan(drawn.p_value)
    assert (random.num, random.gain, random.macs) == (2, pytest.approx(0.3), 10.5)
    # Shuffled, 2 of the 10 divisions of five scores differ by as much: the two best, and no other.
    assert random.p_value == pytest.approx(0.1)
    other, same = module("strategy_comparison.differences").summarise(rows, against="random")
    assert (same.gain, same.p_value) == (pytest.approx(-0.3), pytest.approx(0.1))
    assert math.isnan(other.gain)
    figure = module("strategy_comparison.report").draw_comparison(rows)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "random (0M MACs)",
        "drawn (0M MACs)",
    ]


def test_every_text_of_the_picture_can_be_read(module):
    names = module("strategy_comparison.contestants").CONTESTANT_NAMES
    rows = [
        dataclasses.replace(row(module, name, seed, 0.3 + 0.02 * place + 0.01 * seed), macs=10**8)
        for place, name in enumerate(names)
        for seed in range(3)
    ]
    for shown in (rows, rows[:6]):  # all, and as few as there may be
        texts = require_readable(module("strategy_comparison.report").draw_comparison(shown))
        assert {f"{each.contestant} (100M MACs)" for each in shown} <= {*texts}
        assert "test mIoU (%): each seed; mean and\n2 standard errors; dotted: drawn" in texts


def test_it_goes_on_where_it_was_stopped(module, monkeypatch):
    main = module("compare_strategies")
    asked = []

    def run(contestant, seed, *, setting, folder):
        asked.append((contestant.name, seed))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return row(module, contestant.name, seed, 0.1 * len(asked))

    monkeypatch.setattr(main, "run_trial", run)
    monkeypatch.setattr(main, "price_networks", mock.MagicMock())
    monkeypatch.setattr(main, "write_figure", mock.MagicMock())
    call = ["--contestants", "drawn", "random", "--seeds", "0", "1", "--out", "out"]
    with pytest.raises(KeyboardInterrupt):
        main.main(call)
    first = module("strategy_comparison.rows").read_rows(Path("out/rows.csv"))
    assert first == [row(module, "drawn", 0, 0.1), row(module, "random", 0, 0.2)]
    assert main.main(call) == 0
    assert asked == [("drawn", 0), ("random", 0), ("drawn", 1), ("drawn", 1), ("random", 1)]
    record = json.loads(Path("out/comparison.json").read_text())
    assert [each["contestant"] for each in record["rows"]] == ["random", "drawn"]
    assert len(record["calls"]) == 1 and record["max_macs"] == 45_000_000
    text = Path("out/comparison.md").read_text()
    assert "random: --strategy random" in text and "at most 45,000,000 MACs" in text
    with pytest.raises(UsageError, match=r"unknown contestant 'rando'.* 'random'"):
        main.main(["--contestants", "rando"])


def test_a_run_that_was_stopped_is_resumed_and_a_finished_one_left_alone(module):
    trial = module("strategy_comparison.trial")
    runs, asked = {"finished": [], None: []}, []

    def run(arguments, *, check):
        asked.append(arguments[1:])
        return subprocess.CompletedProcess(arguments, codes.pop(0))

    def finish():
        trial._finish("retrain", Path("run"), ("--network", "unet"), seed=3)

    codes = [INTERRUPTED, 1]
    with (
        mock.patch.object(trial, "find_runs", lambda folder, state=None: runs[state]),
        mock.patch.object(trial.subprocess, "run", run),
    ):
        with pytest.raises(KeyboardInterrupt):
            finish()
        runs[None] = [Path("run")]
        with pytest.raises(UsageError, match="--resume --out run: ended with exit code 1"):
            finish()
        runs["finished"] = [Path("run")]
        finish()
    begin = ["-m", "autoseg.retrain"]
    end = ["--out", "run"]
    assert asked == [
        [*begin, "--network", "unet", "--preset", "tiny", "--seed", "3", *end],
        [*begin, "--resume", *end],
    ]


@pytest.mark.nightly
def test_a_drawn_architecture_and_a_fixed_network_whole(module, setting, tmp_path):
    trial = module("strategy_comparison.trial")
    find = module("strategy_comparison.contestants").find_contestant
    for name in ("drawn", "icnet"):
        done = trial.run_trial(find(name), 0, setting=setting, folder=tmp_path / name)
        again = trial.run_trial(find(name), 0, setting=setting, folder=tmp_path / name)
        assert dataclasses.replace(again, commit=done.commit) == done
        assert done.miou > 0 and done.search_steps == 0
        assert bool(done.path) == (name == "drawn")


def test_every_search_is_one_that_the_command_takes(module):
    contestants = module("strategy_comparison.contestants")
    searches = [contestants.find_contestant(name) for name in contestants.CONTESTANT_NAMES]
    for contestant in filter(lambda each: each.search, searches):
        shared = ("--preset", "tiny", "--max-macs", "45000000", "--seed", "0")
        request = read_request(
            SearchRequest,
            [*contestant.search_options(32), *shared],
            prog="",
            description="",
            example="",
        )
        _require_read(request)
        config = request.with_defaults(SEARCH_PRESETS["tiny"]).pick(SearchConfig)
        assert STRATEGIES[request.strategy].settings(config) >= {"max_macs", "seed"}
