"""The ranking's table from scorers whose scores are known, and its going on after a stop."""

import csv
import importlib
import json
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode

from autoseg.architecture import SearchSpace, path_of_rank, sample_architecture
from autoseg.config import DataConfig
from autoseg.errors import UsageError
from tests.reporting.drawn_texts import require_readable

SPACE = SearchSpace.load("autodeeplab", preset="tiny")
DATA = DataConfig()
CALL = ["--num-architectures", "8", "--out", "out", "--truth", "retrain:9"]
SAME = {"stratum": 0, "path": "4", "cell": "", "seconds": 1.0, "commit": "a"}


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Import a module of the benchmark by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    monkeypatch.chdir(tmp_path)
    return importlib.import_module


class Stub:
    """Scores by the path, and by name and seed; counts, and is interrupted where it is told to."""

    calls = 0
    interrupted_at = -1

    def __init__(self, name, seed):
        self.noise = np.random.default_rng(len(name) + seed)

    def score(self, architecture):
        if Stub.calls == Stub.interrupted_at:
            raise KeyboardInterrupt
        Stub.calls += 1
        return 1 / sum(architecture.path) + 0.005 * self.noise.standard_normal()


@pytest.fixture
def ranking(module, monkeypatch):
    main = module("supernet_ranking")
    monkeypatch.setattr(main, "build_scorer", lambda name, space, *, data, seed: Stub(name, seed))
    monkeypatch.setattr(Stub, "calls", 0)
    monkeypatch.setattr(main, "write_figure", mock.MagicMock())  # takes a second
    return main


def test_each_quarter_of_the_paths_gives_as_many(module):
    candidates = module("ranking.candidates")
    drawn = candidates.draw_candidates(SPACE, 12, seed=0)
    means = [np.mean(path_of_rank(SPACE, rank)) for rank in range(SPACE.num_paths())]
    low, middle, high = np.percentile(means, [25, 50, 75])
    ends = [(0, low), (low, middle), (middle, high), (high, 32)]
    for each in drawn:
        assert ends[each.stratum][0] <= each.mean_stride <= ends[each.stratum][1]
    assert [each.stratum for each in drawn] == [0, 1, 2, 3] * 3
    assert len({each.architecture for each in drawn}) == 12
    # A longer table goes on with the rows of a shorter one.
    assert candidates.draw_candidates(SPACE, 16, seed=0)[:12] == drawn
    with pytest.raises(UsageError, match=r"--num-architectures 6: each quarter .* use 4"):
        candidates.draw_candidates(SPACE, 6, seed=0)


def test_the_table_compares_with_the_mean_of_the_retrainings(ranking):
    seeds = ["--seeds", "0", "1", "2"]
    assert ranking.main([*CALL, "--scorers", "retrain:9", *seeds]) == 0
    assert ranking.main([*CALL, "--scorers", "short:5", "macs"]) == 0
    with Path("out/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = {}
    for row in rows:
        scores.setdefault((row["scorer"], int(row["seed"])), []).append(float(row["score"]))
    assert {key: len(group) for key, group in scores.items()} == dict.fromkeys(
        [*(("retrain:9", seed) for seed in range(3)), ("short:5", 0), ("macs", 0)], 8
    )
    retrained = np.array([scores["retrain:9", seed] for seed in range(3)])
    record = json.loads(Path("out/ranking.json").read_text())
    taus = {(row["scorer"], row["seed"]): row["tau"] for row in record["rows"]}
    bests = {(row["scorer"], row["seed"]): row["mean_of_best"] for row in record["rows"]}
    for (scorer, seed), own in scores.items():
        # A retraining is compared with the other seeds' mean, not with itself.
        others = [n for n in range(3) if scorer != "retrain:9" or n != seed]
        expected = stats.kendalltau(own, retrained[others].mean(axis=0)).statistic
        assert taus[scorer, seed] == pytest.approx(expected)
        best = retrained[others].mean(axis=0)[np.argsort(own)[-2:]].mean()  # two of eight
        assert bests[scorer, seed] == pytest.approx(best)
    assert [call["command"].split()[-2:] for call in record["calls"]] == [
        ["1", "2"],
        ["short:5", "macs"],
    ]
    text = Path("out/ranking.md").read_text()
    assert "python benchmarks/supernet_ranking.py --num" in text
    true = 100 * retrained.mean(axis=0)
    by_quarter = ", ".join(f"{true[quarter::4].mean():.1f}%" for quarter in range(4))
    assert f"{true.mean():.1f}% on average; by quarter {by_quarter}." in text


def test_a_panel_for_each_scorer_and_seed(module):
    rows, agreement = module("ranking.rows"), module("ranking.agreement")
    scores = [
        rows.Score(scorer=scorer, seed=0, number=number, score=number / 7, **SAME)
        for scorer in ("retrain:9", "macs", "short:5")
        for number in range(4)
    ]
    compared = agreement.agreements(scores, "retrain:9")
    figure = module("ranking.figure").draw_ranking(scores, compared, truth="retrain:9")
    # The only retraining has no other seed to be compared with.
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["macs, seed 0: tau 1.00", "short:5, seed 0: tau 1.00"]
    points = figure.axes[0].collections[0].get_offsets()
    assert points[:, 1].tolist() == pytest.approx([number / 7 for number in range(4)])


def test_every_text_of_the_picture_can_be_read(module):
    rows, agreement = module("ranking.rows"), module("ranking.agreement")
    factors = {"retrain:200": 1.0, "finetuned:1024": -1e-4, "parameters": 4e5, "macs": 5e7}
    scores = [
        rows.Score(
            scorer=scorer,
            seed=seed,
            number=n,
            score=factor * (n + 1) / 8,
            **SAME | {"stratum": n % 4},
        )
        for scorer, factor in factors.items()
        for seed in (0, 1, 2)
        for n in range(8)
    ]
    compared = agreement.agreements(scores, "retrain:200")
    figure = module("ranking.figure").draw_ranking(scores, compared, truth="retrain:200")
    texts = require_readable(figure)
    assert len(compared) == 12
    for scorer in factors:
        for seed in (0, 1, 2):
            assert any(text.startswith(f"{scorer}, seed {seed}: tau ") for text in texts)
    assert {"quarter 1 by stride, finest", "quarter 4 by stride", "score"} <= {*texts}
    assert "mIoU of retrain:200" in texts


def test_tau_within_quarters_leaves_out_pairs_of_two(module):
    within = module("ranking.agreement").within_strata
    own, true = {0: 1.0, 1: 2.0, 2: 9.0, 3: 8.0}, {0: 1.0, 1: 2.0, 2: -1.0, 3: -2.0}
    # (0, 1) and (2, 3) agree; the four pairs across do not.
    assert within(own, true, {0: 0, 1: 0, 2: 1, 3: 1}) == 1
    assert within(own, true, dict.fromkeys(range(4), 0)) == pytest.approx((2 - 4) / 6)


def test_what_is_counted_of_all_paths_is_what_sampling_finds(module):
    exact, candidates = module("ranking.exact"), module("ranking.candidates")
    bounds, generator = candidates.stratum_bounds(SPACE), torch.Generator().manual_seed(0)
    drawn = [sample_architecture(SPACE, generator) for _ in range(4000)]
    seen = Counter(weight for architecture in drawn for weight in weights(architecture))
    counts, have_state0 = [[] for _ in range(4)], []
    for architecture in drawn:
        mean = np.mean([seen[weight] for weight in weights(architecture)])
        counts[candidates.stratum_of(architecture.path, bounds)].append(mean)
        path = (4, *architecture.path)
        have_state0 += [n >= 1 and path[n - 1] == path[n + 1] for n in range(SPACE.num_layers)]
    expected = [np.mean(quarter) for quarter in counts]
    # An architecture trains its own operations once more than another one does.
    assert np.allclose(exact.trainings_of_an_operation(SPACE, 4000), expected, rtol=0.03)
    assert exact.share_with_state0(SPACE) == pytest.approx(np.mean(have_state0), abs=0.01)


def weights(architecture):
    """What an architecture trains in a supernet: layer, stride, node, source, operation."""
    return [
        (layer, stride, node, *edge)
        for layer, stride in enumerate(architecture.path)
        for node, edges in enumerate(architecture.cell)
        for edge in edges
    ]


def test_the_spread_tells_architectures_from_seeds(module):
    rows, agreement = module("ranking.rows"), module("ranking.agreement")
    generator = np.random.default_rng(0)
    worth = 0.3 + 0.04 * generator.standard_normal(2000)
    scores = [
        rows.Score(
            scorer="retrain:9",
            seed=seed,
            number=number,
            score=worth[number] + 0.02 * generator.standard_normal(),
            **SAME,
        )
        for seed in range(2)
        for number in range(2000)
    ]
    spread = agreement.spread(scores[:-1], "retrain:9")
    assert spread.num == 1999  # the last one has one seed
    # Standard errors of the deviations over 2,000 architectures are about 0.0008 and 0.0003.
    assert spread.architectures == pytest.approx(0.04, abs=0.003)
    assert spread.seeds == pytest.approx(0.02, abs=0.0015)
    assert agreement.spread(scores[:2000], "retrain:9") is None


def test_what_was_stopped_goes_on_and_no_score_is_computed_twice(ranking, monkeypatch):
    call = [*CALL, "--scorers", "retrain:9", "short:5"]
    monkeypatch.setattr(Stub, "interrupted_at", 10)
    with pytest.raises(KeyboardInterrupt):
        ranking.main(call)
    with Path("out/scores.csv").open(newline="") as file:
        before = list(csv.DictReader(file))
    assert len(before) == 10
    monkeypatch.setattr(Stub, "interrupted_at", -1)
    assert ranking.main(call) == 0
    assert Stub.calls == 16
    with Path("out/scores.csv").open(newline="") as file:
        assert list(csv.DictReader(file))[:10] == before
    text = Path("out/scores.csv").read_text()
    Path("out/scores.csv").write_text(text.replace("skip_connect", "sep_conv_3x3"))
    with pytest.raises(UsageError, match="holds scores of other architectures"):
        ranking.main(call)


@pytest.mark.parametrize("name", ["short", "short:0", "macs:3", "nothing:3"])
def test_a_scorer_that_is_not_known_is_refused(module, name):
    with pytest.raises(UsageError, match=rf"--scorers {name}: use one of retrain:STEPS, short:"):
        module("ranking.scorers").build_scorer(name, SPACE, data=DATA, seed=0)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name",
    [
        "retrain",
        "short",
        "alone",
        "uniform",
        "fair",
        "shared",
        "fairly-shared",
        "finetuned",
        "darts",
    ],
)
def test_a_score_repeats(module, name):
    scorers, candidates = module("ranking.scorers"), module("ranking.candidates")
    drawn = candidates.draw_candidates(SPACE, 4, seed=0)[2].architecture
    one, other = (
        scorers.build_scorer(f"{name}:1", SPACE, data=DATA, seed=0).score(drawn) for _ in range(2)
    )
    assert one == other
    assert 0 <= one < 0.2  # one step


@pytest.mark.nightly
def test_speed_repeats_and_is_a_loss_of_twelve_classes_before_the_first_step(module):
    scorers, candidates = module("ranking.scorers"), module("ranking.candidates")
    drawn = candidates.draw_candidates(SPACE, 4, seed=0)[2].architecture
    one, other = (
        scorers.build_scorer("speed:1", SPACE, data=DATA, seed=0).score(drawn) for _ in range(2)
    )
    assert one == other
    assert -3 < one < -2  # random logits: about log(12) = 2.48 nats


def test_sizes_are_those_of_the_network_that_is_retrained(module):
    scorers, candidates = module("ranking.scorers"), module("ranking.candidates")
    drawn = candidates.draw_candidates(SPACE, 4, seed=0)[2].architecture
    num_params = scorers.build_scorer("parameters", SPACE, data=DATA, seed=0).score(drawn)
    network = scorers.build_retrained(drawn, scorers.RETRAIN_PRESETS["tiny"], num_classes=12)
    assert num_params == sum(parameter.numel() for parameter in network.parameters())


def test_images_are_seen_as_a_search_in_the_tiny_preset_sees_them(module):
    scorers, candidates = module("ranking.scorers"), module("ranking.candidates")
    drawn = candidates.draw_candidates(SPACE, 4, seed=0)[2].architecture
    # The longer side comes to 160 pixels, so that four thirds of both sides are left as they are.
    sizes = [(120, 160), (180, 240)]
    macs, enlarged = (
        scorers.build_scorer(
            "macs", SPACE, data=DataConfig(image_size=size, num_classes=5), seed=0
        ).score(drawn)
        for size in sizes
    )
    network = scorers.build_retrained(drawn, scorers.RETRAIN_PRESETS["tiny"], num_classes=5).eval()
    with FlopCounterMode(display=False) as counter:  # of two operations for each multiply-add
        network(torch.zeros(1, 3, 120, 160))
    assert macs == enlarged
    assert macs == pytest.approx(counter.get_total_flops() / 2, rel=0.02)  # resizing beside
    task = scorers.build_scorer(
        "short:1", SPACE, data=DataConfig(image_size=(180, 240)), seed=0
    )._task()
    assert task.config.image_scale == pytest.approx(2 / 3)


def test_a_table_is_of_one_dataset(ranking):
    assert ranking.main([*CALL, "--scorers", "macs"]) == 0
    with pytest.raises(UsageError, match="is of --dataset synthetic, and this call of camvid"):
        ranking.main([*CALL, "--scorers", "macs", "--dataset", "camvid"])
