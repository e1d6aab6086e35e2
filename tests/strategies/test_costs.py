"""A search that is told what its result may cost."""

import dataclasses
import re

import pytest
import torch

from autoseg.architecture import Architecture
from autoseg.config import NetworkSizes, nanoseconds_of, short_latency
from autoseg.cost import count_macs
from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.networks.weightless import weightless
from autoseg.pricing import ExpectedCost, cheapest
from autoseg.strategies import STRATEGIES
from autoseg.strategies.costs import CostPenalty, networks_of, price_task
from tests.pricing.enumeration import table_of
from tests.strategies.contract import SPACE, run_search, task_of
from tests.strategies.watching import HostReads
from tests.training.test_loop import metrics

SIZES = NetworkSizes(width=0.05, filter_multiplier=4)
TASK = dataclasses.replace(task_of("darts"), retrain_sizes=SIZES)


@pytest.fixture(scope="module")
def prices():
    return price_task(TASK)


def with_settings(name, **changes):
    task = dataclasses.replace(task_of(name, **changes), retrain_sizes=SIZES)
    return dataclasses.replace(task, latency_table=table_of(networks_of(task)))


def test_macs_are_those_of_the_network_that_is_retrained_on_whole_images(prices):
    architecture = cheapest(prices)
    with weightless():
        network = build_network(architecture, num_classes=12, width=0.05, filter_multiplier=4)
    assert TASK.train_dataset.num_classes == 12
    assert prices.cost(architecture) == count_macs(network, (48, 48)).macs


def test_the_penalty_is_the_excess_over_the_target(prices):
    expected = ExpectedCost(prices, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    alpha = torch.randn(SPACE.num_edges, len(SPACE.operations), generator=generator)
    beta = torch.randn(SPACE.num_layers, SPACE.num_levels, 3, generator=generator)
    macs = expected(alpha, beta).item()
    penalty = CostPenalty(expected, weight=0.5, target=1_000_000)
    assert macs > 1_000_000
    assert penalty(alpha, beta).item() == pytest.approx(0.5 * (macs / 1e6 - 1), rel=1e-12)
    with HostReads() as reads:  # a step may be captured as a CUDA graph
        penalty(alpha, beta)
    assert reads.found == []
    assert CostPenalty(expected, weight=0.5, target=int(2 * macs))(alpha, beta).item() == 0


def test_the_architecture_step_follows_loss_and_penalty_together():
    gradients = {}
    for weight in (0.0, 3.0):
        target = {"macs_target": "1k", "macs_weight": weight} if weight else {}
        torch.manual_seed(0)
        strategy = STRATEGIES["darts"](with_settings("darts", **target))
        images, labels = next(TASK.batches("b"))
        strategy.darts.architecture_step(images, labels)
        alpha, beta = strategy.supernet.arch_parameters()
        gradients[weight] = alpha.grad.clone(), beta.grad.clone()
    torch.manual_seed(0)
    strategy = STRATEGIES["darts"](with_settings("darts"))
    alpha, beta = strategy.supernet.arch_parameters()
    expected = ExpectedCost(price_task(TASK), device=torch.device("cpu"))
    of_penalty = torch.autograd.grad(3.0 * expected(alpha, beta) / 1000, (alpha, beta))
    for plain, joint, penalty in zip(gradients[0.0], gradients[3.0], of_penalty, strict=True):
        torch.testing.assert_close(joint, plain + penalty, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "random",
        "tpe",
        *(pytest.param(n, marks=pytest.mark.nightly) for n in ("evolution", "nsga2")),
    ],
)
def test_nothing_that_exceeds_the_limit_is_tried(name, prices, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.strategies.contract.task_of", with_settings)
    limit = int(1.1 * prices.cost(cheapest(prices)))
    run_search(name, tmp_path / "run", max_macs=str(limit))
    tried = [Architecture.from_dict(line["architecture"]) for line in metrics(tmp_path / "run")]
    assert len(tried) == 3
    assert all(prices.cost(each) <= limit for each in tried)


def test_darts_decodes_within_the_limit_and_tells_what_that_has_changed(
    prices, tmp_path, monkeypatch
):
    monkeypatch.setattr("tests.strategies.contract.task_of", with_settings)
    least = prices.cost(cheapest(prices))
    result = run_search("darts", tmp_path / "run", max_macs=str(least))
    assert prices.cost(result.architecture) == least
    assert re.match(
        rf"cost  alpha and beta prefer an architecture of [\d,]+ MACs; of those within the limit "
        rf"of {least:,} MACs the best has {least:,} MACs\.",
        result.report.text,
    )
    last = metrics(tmp_path / "run")[-1]
    assert last["macs"] == least < last["expected_macs"]
    assert Architecture.from_dict(last["architecture"]) == result.architecture


@pytest.mark.parametrize("name", ["darts", "random"])
def test_a_limit_below_the_cheapest_is_refused_with_its_price(name, prices):
    least = prices.cost(cheapest(prices))
    message = (
        rf"^max_macs = 1k, but the cheapest architecture of the space costs {least:,} MACs \(one "
        r"image of 48 x 48, 12 classes, F = 4, width 0\.05\); use --max-macs [\d.]+M or more\. The "
        rf"cheapest:\npath  {' '.join(map(str, cheapest(prices).path))}\n"
    )
    with pytest.raises(UsageError, match=message):
        STRATEGIES[name].check(with_settings(name, max_macs="1k"))


@pytest.mark.parametrize("name", ["darts", "random"])
def test_a_limit_of_latency_is_kept_and_too_low_a_one_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.strategies.contract.task_of", with_settings)
    prices = with_settings(name).latency_table.prices()
    least = prices.cost(cheapest(prices))
    limit = short_latency(int(1.5 * least))
    result = run_search(name, tmp_path / "run", max_latency=limit)
    lines = metrics(tmp_path / "run")
    found = [Architecture.from_dict(line["architecture"]) for line in lines]
    assert len(found) >= 2 and result.architecture in found
    assert all(prices.cost(each) <= nanoseconds_of(limit, name="limit") for each in found)
    if name == "darts":
        assert "ms (predicted by the latency table)" in result.report.text.splitlines()[0]
        assert lines[-1]["latency_ms"] == prices.cost(found[-1]) / 1e6
        assert lines[-1]["expected_latency_ms"] > least / 1e6
    with pytest.raises(UsageError, match=rf"use --max-latency {short_latency(least)} or more"):
        STRATEGIES[name].check(with_settings(name, max_latency="1us"))


def test_latency_needs_a_table_of_the_networks_that_are_searched():
    task = with_settings("darts", max_latency="30ms")
    with pytest.raises(UsageError, match="needs the times of the networks' parts"):
        STRATEGIES["darts"].check(dataclasses.replace(task, latency_table=None))
    other = dataclasses.replace(task, retrain_sizes=NetworkSizes(width=0.1, filter_multiplier=4))
    with pytest.raises(UsageError, match=r"of other networks than .*: width 0\.05, not 0\.1\."):
        STRATEGIES["darts"].check(other)


def test_the_architecture_step_follows_expected_latency_too():
    task = with_settings("darts", latency_weight=3.0, latency_target="1us")
    torch.manual_seed(0)
    strategy = STRATEGIES["darts"](task)
    alpha, beta = strategy.supernet.arch_parameters()
    expected = ExpectedCost(task.latency_table.prices(), device=torch.device("cpu"))
    of_penalty = torch.autograd.grad(3.0 * expected(alpha, beta) / 1000, (alpha, beta))
    alpha.grad, beta.grad = torch.zeros_like(alpha), torch.zeros_like(beta)
    strategy.darts.arch_optimizer.step()
    for parameter, penalty in zip((alpha, beta), of_penalty, strict=True):
        torch.testing.assert_close(parameter.grad, penalty, rtol=1e-4, atol=1e-5)
