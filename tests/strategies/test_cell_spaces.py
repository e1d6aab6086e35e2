"""Searches over the cells of a fixed backbone: what is found, resumed, told and refused."""

import dataclasses

import pytest

from autoseg.architecture import load_architecture
from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.networks.darts_cells import CellNetwork
from autoseg.pricing import cheapest_cells
from autoseg.runs import Run, seed_everything
from autoseg.strategies import STRATEGIES, search
from autoseg.strategies.costs import price_task
from autoseg.strategies.short_training import build_candidate
from tests.architecture.cells import SMALL
from tests.strategies import contract
from tests.training.test_loop import Flag, metrics


def task_of(name, folder=None, **changes):
    task = contract.task_of(name, **changes)
    journal = None if folder is None else folder / "trials.journal"
    return dataclasses.replace(task, space=SMALL, journal=journal)


def run_search(name, folder, *, stop=None, **changes):
    """Start a search, or go on with the one in the folder; returns strategy and result."""
    task = task_of(name, folder, **changes)
    strategy_type = contract.strategy_of(name)
    strategy_type.check(task)
    create = {"kind": "search", "command": ["test"], "config": {}, "seed": 1}
    with Run.resume(folder) if folder.exists() else Run.create(folder, **create) as run:
        seed_everything(task.config.seed)
        with strategy_type(task) as strategy:
            stop, words = stop or Flag(), name.split()
            return strategy, search(strategy, task, strategy_name=words[0], run=run, stop=stop)


# The rules of the others are tested elsewhere; what they have of cells is that of these two.
NIGHTLY = [
    pytest.param(name, marks=pytest.mark.nightly)
    for name in ("darts2", "drnas", "robust", "evolution", "tpe", "predictor", "nsga2")
]


@pytest.fixture(
    scope="module", params=["darts", "gumbel", "random", "random by supernet", *NIGHTLY]
)
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells") / request.param
    return request.param, folder, *run_search(request.param, folder)


def test_what_is_found_is_of_the_space(whole):
    _, folder, strategy, result = whole
    found = result.architecture
    assert load_architecture(folder / "architecture.json") == found
    assert (found.space, found.num_cells) == ("small", SMALL.retrain_num_cells)
    edges = {"normal": SMALL.normal_operations, "reduction": SMALL.reduction_operations}
    for name, cell in found.cells.items():
        for node, pair in enumerate(cell):
            for source, op in pair:
                assert op in edges[name][[0, 2][node] + source] and op != "none"
    logged = [set(line) - {"step", "loss"} for line in metrics(folder)]
    assert set().union(*logged) == strategy.logs
    assert result.is_finished and result.report.text
    assert all(doubt in result.report.text for doubt in result.report.doubts)


def test_a_search_that_was_stopped_ends_the_same(whole, tmp_path):
    name, folder, _, result = whole
    for stop in (Flag(1), None):
        _, again = run_search(name, tmp_path / "run", stop=stop)
    assert again == result
    assert metrics(tmp_path / "run") == metrics(folder)


def test_both_cells_move_after_the_warm_up(tmp_path):
    strategy, _ = run_search("darts", tmp_path / "run")
    last = metrics(tmp_path / "run")[-1]
    assert 0 < last["normal_entropy"] < 1 and 0 < last["reduction_entropy"] < 1
    # One step of Adam at rate 0.1 from noise of 1e-3.
    for alpha in strategy.supernet.arch_parameters():
        assert float(alpha.detach().abs().max()) > 0.05
    assert set(last["confidence"]["edges"]) == {"normal", "reduction"}
    assert len(last["confidence"]["edges"]["normal"]) == 2 * SMALL.num_nodes


@pytest.fixture(scope="module")
def priced():
    """The prices of the task's networks, and the MACs of the cheapest."""
    prices = price_task(task_of("darts"))
    return prices, prices.cost(cheapest_cells(prices))


def test_darts_decodes_cells_within_the_limit_and_tells_what_that_has_changed(priced, tmp_path):
    prices, least = priced
    _, result = run_search("darts", tmp_path / "run", max_macs=str(least))
    assert prices.cost(result.architecture) == least
    assert result.report.text.startswith("cost  both alphas prefer an architecture of ")
    last = metrics(tmp_path / "run")[-1]
    assert last["macs"] == least < last["expected_macs"]


def test_a_heavy_penalty_leads_to_the_cheapest_cells(priced, tmp_path):
    prices, least = priced
    _, result = run_search("darts", tmp_path / "run", macs_target="1k", macs_weight=10.0)
    assert prices.cost(result.architecture) == least


@pytest.mark.parametrize(
    "name", ["nsga2", *(pytest.param(n, marks=pytest.mark.nightly) for n in ("predictor", "tpe"))]
)
def test_no_cells_that_exceed_the_limit_are_tried(name, priced, tmp_path):
    prices, least = priced
    limit = int(1.01 * least)
    strategy, _ = run_search(name, tmp_path / "run", max_macs=str(limit))
    tried = [trial.value for trial in strategy.study.trials]
    assert len(tried) == 3
    assert all(prices.cost(each) <= limit for each in tried)
    if name == "nsga2":
        assert [line["macs"] for line in metrics(tmp_path / "run")] == list(map(prices.cost, tried))


@pytest.mark.parametrize("name", ["darts", "random"])
def test_a_limit_below_the_cheapest_cells_is_refused_with_their_price(name, priced):
    message = f"^max_macs = 1k, but the cheapest architecture of the space costs {priced[1]:,} MACs"
    with pytest.raises(UsageError, match=message):
        STRATEGIES[name].check(task_of(name, max_macs="1k"))


def test_a_candidate_has_the_length_of_the_search():
    task = task_of("random")
    found = STRATEGIES["random"](task).decode()
    candidate = build_candidate(task, found)
    assert isinstance(candidate, CellNetwork)
    assert len(candidate.cells) == SMALL.num_cells
    retrained = build_network(found, num_classes=3, filter_multiplier=4, width=0.125)
    assert isinstance(retrained, CellNetwork) and len(retrained.cells) == SMALL.retrain_num_cells


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "random",
            {"estimator": "shared"},
            "^--estimator shared does not search a cell space such as 'small'; use --estimator sup",
        ),
        ("nsga2", {"estimator": "finetuned"}, "^--estimator finetuned does not search a cell spac"),
        ("darts", {"beta_norm": "two-thirds"}, "--beta-norm two-thirds: it belongs to spaces"),
        (
            "nsga2",
            {"front_cost": "latency"},
            "--front-cost latency: it belongs to spaces with a",
        ),
        ("darts", {"selection": "perturbation"}, "--selection perturbation: it belongs"),
        ("darts", {"crop_size": (16, 16)}, "leaves maps of one pixel at stride 16"),
    ],
)
def test_what_cells_alone_do_not_have_is_refused(name, changes, message):
    with pytest.raises(UsageError, match=message):
        STRATEGIES[name].check(task_of(name, **changes))
