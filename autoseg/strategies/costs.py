"""What a search may cost, in MACs or in latency: limits that are kept, and penalties."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from autoseg.architecture import AnyArchitecture, CellArchitecture, CellSpace
from autoseg.config import nanoseconds_of, number_of, short_latency, short_number
from autoseg.errors import UsageError
from autoseg.pricing import (
    CellPrices,
    ExpectedCellMacs,
    ExpectedCost,
    PricedNetworks,
    Prices,
    cheapest,
    cheapest_cells,
    count_prices,
    decode_cells_within,
    decode_within,
    price_cells,
)
from autoseg.strategies.strategy import SearchTask
from autoseg.supernet import CellSupernet, Supernet

AnyPrices = Prices | CellPrices
"""Prices of a space of either kind; those of cells are MACs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchCost:
    """A cost that the settings name, with what they say of it."""

    log_name: Literal["macs", "latency_ms"]
    """What metrics.jsonl calls it."""
    prices: AnyPrices
    """What the networks cost."""
    limit: int | None
    """The most that the result may cost, in the unit of the prices; None if there is no limit."""
    weight: float
    """Weight of the penalty; 0 if there is none."""
    target: int | None
    """Expected cost up to which there is no penalty; None if there is none."""

    def logged(self, cost: float) -> float:
        """Return a cost as it is logged: MACs, or milliseconds."""
        return cost if self.log_name == "macs" else cost / 1e6

    def allows(self, architecture: AnyArchitecture) -> bool:
        """Tell whether an architecture stays within the limit."""
        return self.limit is None or cost_of(self.prices, architecture) <= self.limit


def cost_of(prices: AnyPrices, architecture: AnyArchitecture) -> int:
    """Add up what an architecture of the prices' space costs."""
    return prices.cost(architecture)  # pyright: ignore[reportArgumentType]  # each has its own kind


def expectation(prices: AnyPrices, *, device: torch.device) -> ExpectedCost | ExpectedCellMacs:
    """Return the expected cost as a function of the supernet's two architecture parameters."""
    if isinstance(prices, CellPrices):
        return ExpectedCellMacs(prices, device=device)
    return ExpectedCost(prices, device=device)


def decode_limited(cost: SearchCost, supernet: Supernet | CellSupernet) -> AnyArchitecture:
    """Decode the best architecture of a supernet within a limit."""
    assert cost.limit is not None
    if isinstance(cost.prices, CellPrices):
        return decode_cells_within(cost.prices, *supernet.decoded_logits(), limit=cost.limit)
    assert isinstance(supernet, Supernet)
    return decode_within(
        cost.prices,
        *supernet.decoded_logits(),
        limit=cost.limit,
        beta_norm=supernet.beta_norm,
        path_rule=supernet.path_rule,
    )


def networks_of(task: SearchTask) -> PricedNetworks:
    """Return the networks that the result may be retrained as, for one of the task's images.

    Raises:
        UsageError: If the space is one of cells alone, whose parts are not measured.
    """
    if isinstance(task.space, CellSpace):
        raise UsageError(
            f"latency in the cell space {task.space.name!r} is not predicted; limit --max-macs "
            "there, or use a space with a trellis."
        )
    return PricedNetworks(
        space=task.space,
        image_size=_image_size(task),
        num_classes=task.train_dataset.num_classes,
        in_channels=task.train_dataset.num_channels,
        filter_multiplier=task.retrain_sizes.filter_multiplier,
        width=task.retrain_sizes.width,
    )


def _image_size(task: SearchTask) -> tuple[int, int]:
    height, width = task.train_dataset.largest_size
    scale = task.config.image_scale
    return round(scale * height), round(scale * width)


def price_task(task: SearchTask) -> AnyPrices:
    """Count the MACs of the networks that the result may be retrained as."""
    if not isinstance(task.space, CellSpace):
        return count_prices(networks_of(task))
    return price_cells(
        task.space,
        image_size=_image_size(task),
        num_classes=task.train_dataset.num_classes,
        in_channels=task.train_dataset.num_channels,
        filter_multiplier=task.retrain_sizes.filter_multiplier,
        width=task.retrain_sizes.width,
    )


def task_costs(task: SearchTask) -> list[SearchCost]:
    """Price the task's networks in each cost that has a limit or a penalty.

    Raises:
        UsageError: If no architecture of the space stays within a limit, with the cheapest; if
            latency is asked for, and the task has no table of its networks.
    """
    config, costs = task.config, []
    if config.max_macs is not None or config.macs_target is not None:
        macs = SearchCost(
            log_name="macs",
            prices=price_task(task),
            limit=_read(config.max_macs, number_of, "max_macs"),
            weight=config.macs_weight,
            target=_read(config.macs_target, number_of, "macs_target"),
        )
        _require_kept(task, macs, f"max_macs = {config.max_macs}", _macs_option)
        costs.append(macs)
    if config.max_latency is not None or config.latency_target is not None:
        latency = SearchCost(
            log_name="latency_ms",
            prices=price_latency(task),
            limit=_read(config.max_latency, nanoseconds_of, "max_latency"),
            weight=config.latency_weight,
            target=_read(config.latency_target, nanoseconds_of, "latency_target"),
        )
        _require_kept(task, latency, f"max_latency = {config.max_latency}", _latency_option)
        costs.append(latency)
    return costs


def cost_limit(task: SearchTask) -> SearchCost | None:
    """Return the cost that has a limit, of which the settings allow one; None without."""
    return next((cost for cost in task_costs(task) if cost.limit is not None), None)


def price_latency(task: SearchTask) -> Prices:
    """Return the measured prices of the task's networks, in nanoseconds.

    Raises:
        UsageError: If the task has no table, or one of other networks.
    """
    table, networks = task.latency_table, networks_of(task)
    if table is None:
        raise UsageError(
            "a limit, a penalty or a front of latency needs the times of the networks' parts; "
            "measure them with `python -m autoseg.latency`, and give the file with --latency-table."
        )
    if differences := table.networks.differences(networks):
        raise UsageError(
            f"the latency table is of other networks than those of the search: "
            f"{'; '.join(differences)}."
        )
    return table.prices()


def _read(quantity: str | None, read: Callable[..., int], name: str) -> int | None:
    return None if quantity is None else read(quantity, name=name)


def _macs_option(least: int) -> str:
    return f"--max-macs {short_number(least)}"


def _latency_option(least: int) -> str:
    return f"--max-latency {short_latency(least)}"


def _require_kept(
    task: SearchTask, cost: SearchCost, setting: str, option: Callable[[int], str]
) -> None:
    """Refuse a limit below the cheapest architecture, and say what that one costs."""
    if cost.limit is None:
        return
    prices = cost.prices
    least = cheapest_cells(prices) if isinstance(prices, CellPrices) else cheapest(prices)
    lowest = cost_of(prices, least)
    if lowest > cost.limit:
        raise UsageError(
            f"{setting}, but the cheapest architecture of the space costs "
            f"{prices.written(lowest)} {counted_for(task, prices)}; use {option(lowest)} or more. "
            f"The cheapest:\n{least}"
        )


def counted_for(task: SearchTask, prices: AnyPrices) -> str:
    """Say for which network and image a cost is counted, to follow it, in brackets."""
    (height, width), sizes = prices.image_size, task.retrain_sizes
    return (
        f"(one image of {height} x {width}, {task.train_dataset.num_classes} classes, "
        f"F = {sizes.filter_multiplier}, width {sizes.width:g})"
    )


class CostPenalty:
    """What exceeds the target, as part of the loss that moves alpha and beta.

        L = L_trainB + weight * max(0, E[cost] / target - 1)

    ProxylessNAS adds an expected latency times a weight to the loss, so that architectures are paid
    for by gradients; here the unit is the target, and what costs less is not rewarded for it.

    Source: Cai et al. 2019, "ProxylessNAS", arXiv 1812.00332, section 3.3.1.
    """

    def __init__(
        self, expected_cost: ExpectedCost | ExpectedCellMacs, *, weight: float, target: int
    ) -> None:
        """Take the expectation, the weight and the target in the unit of the prices."""
        self._expected = expected_cost
        self._weight = weight
        self._target = target

    def __call__(self, alpha: Tensor, beta: Tensor) -> Tensor:
        """Return the penalty, a scalar on the device."""
        excess = self._expected(alpha, beta) / self._target - 1
        return self._weight * excess.clamp(min=0)

    def join(
        self, optimizer: torch.optim.Optimizer, logits: Callable[[], tuple[Tensor, Tensor]]
    ) -> None:
        """Add the penalty's gradient to alpha's and beta's before every step of their optimizer.

        So it is part of the step whatever rule has computed the loss's gradient.

        Args:
            optimizer: Moves alpha and beta.
            logits: Returns what is decoded, as a function of what the optimizer moves.
        """

        def add_gradient(*_: object) -> None:
            with torch.enable_grad():
                self(*logits()).backward()

        optimizer.register_step_pre_hook(add_gradient)


def describe_limit(cost: SearchCost, preferred: AnyArchitecture, found: AnyArchitecture) -> str:
    """Say what the limit has changed of what the supernet prefers."""
    assert cost.limit is not None
    predicted = " (predicted by the latency table)" if cost.log_name == "latency_ms" else ""
    written, limit = cost.prices.written, cost.prices.written(cost.limit)
    has = written(cost_of(cost.prices, found))
    if found == preferred:
        return f"cost  {has}, within the limit of {limit}{predicted}"
    who = "both alphas" if isinstance(found, CellArchitecture) else "alpha and beta"
    return (
        f"cost  {who} prefer an architecture of {written(cost_of(cost.prices, preferred))}; "
        f"of those within the limit of {limit} the best has {has}{predicted}. What is said of "
        "margins and doubts is of the former:"
    )
