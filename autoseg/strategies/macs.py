"""What a search may cost: a penalty on expected MACs, and a limit that is kept."""

from collections.abc import Callable

import torch
from torch import Tensor

from autoseg.architecture import AnyArchitecture, CellArchitecture, CellSpace
from autoseg.config import number_of, short_number
from autoseg.errors import UsageError
from autoseg.pricing import (
    CellPrices,
    ExpectedCellMacs,
    ExpectedMacs,
    Prices,
    cheapest,
    cheapest_cells,
    decode_cells_within,
    decode_within,
    price_cells,
    price_space,
)
from autoseg.strategies.strategy import SearchTask
from autoseg.supernet import CellSupernet, Supernet

AnyPrices = Prices | CellPrices
"""Prices of a space of either kind."""


def price_task(task: SearchTask) -> AnyPrices:
    """Price the networks that the result may be retrained as, for one of the task's images."""
    height, width = task.train_dataset.largest_size
    scale = task.config.image_scale
    price = price_cells if isinstance(task.space, CellSpace) else price_space
    return price(
        task.space,  # pyright: ignore[reportArgumentType]  # each function has its own kind
        image_size=(round(scale * height), round(scale * width)),
        num_classes=task.train_dataset.num_classes,
        in_channels=task.train_dataset.num_channels,
        filter_multiplier=task.retrain_sizes.filter_multiplier,
        width=task.retrain_sizes.width,
    )


def max_macs_of(task: SearchTask) -> int | None:
    """Return the most MACs that the result may cost; None without a limit."""
    max_macs = task.config.max_macs
    return None if max_macs is None else number_of(max_macs, name="max_macs")


def macs_of(prices: AnyPrices, architecture: AnyArchitecture) -> int:
    """Add up the MACs of an architecture of the prices' space."""
    return prices.macs(architecture)  # pyright: ignore[reportArgumentType]  # each has its own kind


def expectation(prices: AnyPrices, *, device: torch.device) -> ExpectedMacs | ExpectedCellMacs:
    """Return the expected MACs as a function of the supernet's two architecture parameters."""
    if isinstance(prices, CellPrices):
        return ExpectedCellMacs(prices, device=device)
    return ExpectedMacs(prices, device=device)


def decode_limited(
    prices: AnyPrices, supernet: Supernet | CellSupernet, *, max_macs: int
) -> AnyArchitecture:
    """Decode the best architecture of a supernet within a limit."""
    if isinstance(prices, CellPrices):
        return decode_cells_within(prices, *supernet.decoded_logits(), max_macs=max_macs)
    assert isinstance(supernet, Supernet)
    return decode_within(
        prices,
        *supernet.decoded_logits(),
        max_macs=max_macs,
        beta_norm=supernet.beta_norm,
        path_rule=supernet.path_rule,
    )


def limited_prices(task: SearchTask) -> AnyPrices | None:
    """Price the task's networks if there is a limit that they must keep; None otherwise.

    Raises:
        UsageError: If no architecture of the space stays within `max_macs`, with the cheapest.
    """
    max_macs = max_macs_of(task)
    if max_macs is None:
        return None
    prices = price_task(task)
    least = cheapest_cells(prices) if isinstance(prices, CellPrices) else cheapest(prices)
    num_macs = macs_of(prices, least)
    if num_macs > max_macs:
        raise UsageError(
            f"max_macs = {task.config.max_macs}, but the cheapest architecture of the space costs "
            f"{num_macs:,} {counted_as(task, prices)}; use --max-macs {short_number(num_macs)} or "
            f"more. The cheapest:\n{least}"
        )
    return prices


def macs_limit(task: SearchTask) -> Callable[[AnyArchitecture], bool] | None:
    """Return what tells whether an architecture stays within `max_macs`; None without a limit."""
    max_macs, prices = max_macs_of(task), limited_prices(task)
    if max_macs is None or prices is None:
        return None
    return lambda architecture: macs_of(prices, architecture) <= max_macs


def counted_as(task: SearchTask, prices: AnyPrices) -> str:
    """Say for which network and image MACs are counted, to follow a number."""
    (height, width), sizes = prices.image_size, task.retrain_sizes
    return (
        f"MACs (one image of {height} x {width}, {task.train_dataset.num_classes} classes, "
        f"F = {sizes.filter_multiplier}, width {sizes.width:g})"
    )


class MacsPenalty:
    """What exceeds the target, as part of the loss that moves alpha and beta.

        L = L_trainB + weight * max(0, E[MACs] / target - 1)

    ProxylessNAS adds an expected latency times a weight to the loss, so that architectures are paid
    for by gradients; here the unit is the target, and what costs less is not rewarded for it.

    Source: Cai et al. 2019, "ProxylessNAS", arXiv 1812.00332, section 3.3.1.
    """

    def __init__(
        self, expected_macs: ExpectedMacs | ExpectedCellMacs, *, weight: float, target: int
    ) -> None:
        """Take the expectation, the weight and the target in MACs."""
        self._expected = expected_macs
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


def describe_limit(
    prices: AnyPrices, preferred: AnyArchitecture, found: AnyArchitecture, *, max_macs: int
) -> str:
    """Say what the limit has changed of what the supernet prefers."""
    if found == preferred:
        return f"cost  {macs_of(prices, found):,} MACs, within the limit of {max_macs:,}"
    who = "both alphas" if isinstance(found, CellArchitecture) else "alpha and beta"
    return (
        f"cost  {who} prefer an architecture of {macs_of(prices, preferred):,} MACs; of those "
        f"within the limit of {max_macs:,} the best has {macs_of(prices, found):,}. What is said "
        "of margins and doubts is of the former:"
    )
