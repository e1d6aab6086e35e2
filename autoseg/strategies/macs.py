"""What a search may cost: a penalty on expected MACs, and a limit that is kept."""

from collections.abc import Callable

import torch
from torch import Tensor

from autoseg.architecture import Architecture, CellSpace
from autoseg.config import number_of, short_number
from autoseg.errors import UsageError
from autoseg.pricing import ExpectedMacs, Prices, cheapest, price_space
from autoseg.strategies.strategy import SearchTask


def price_task(task: SearchTask) -> Prices:
    """Price the networks that the result may be retrained as, for one of the task's images."""
    if isinstance(task.space, CellSpace):
        raise UsageError(
            f"MACs of the cell space {task.space.name!r} have no prices; leave --max-macs, "
            "--macs-weight and --strategy nsga2 to spaces with a trellis."
        )
    height, width = task.train_dataset.largest_size
    scale = task.config.image_scale
    return price_space(
        task.space,
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


def limited_prices(task: SearchTask) -> Prices | None:
    """Price the task's networks if there is a limit that they must keep; None otherwise.

    Raises:
        UsageError: If no architecture of the space stays within `max_macs`, with the cheapest.
    """
    max_macs = max_macs_of(task)
    if max_macs is None:
        return None
    prices = price_task(task)
    least = cheapest(prices)
    num_macs = prices.macs(least)
    if num_macs > max_macs:
        raise UsageError(
            f"max_macs = {task.config.max_macs}, but the cheapest architecture of the space costs "
            f"{num_macs:,} {counted_as(task, prices)}; use --max-macs {short_number(num_macs)} or "
            f"more. The cheapest:\n{least}"
        )
    return prices


def macs_limit(task: SearchTask) -> Callable[[Architecture], bool] | None:
    """Return what tells whether an architecture stays within `max_macs`; None without a limit."""
    max_macs, prices = max_macs_of(task), limited_prices(task)
    if max_macs is None or prices is None:
        return None
    return lambda architecture: prices.macs(architecture) <= max_macs


def counted_as(task: SearchTask, prices: Prices) -> str:
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

    def __init__(self, expected_macs: ExpectedMacs, *, weight: float, target: int) -> None:
        """Take the expectation, the weight and the target in MACs."""
        self._expected = expected_macs
        self._weight = weight
        self._target = target

    def __call__(self, alpha: Tensor, beta: Tensor) -> Tensor:
        """Return the penalty, a scalar on the device."""
        excess = self._expected(alpha, beta) / self._target - 1
        return self._weight * excess.clamp(min=0)

    def join(self, optimizer: torch.optim.Optimizer, alpha: Tensor, beta: Tensor) -> None:
        """Add the penalty's gradient to alpha's and beta's before every step of their optimizer.

        So it is part of the step whatever rule has computed the loss's gradient.
        """

        def add_gradient(*_: object) -> None:
            with torch.enable_grad():
                self(alpha, beta).backward()

        optimizer.register_step_pre_hook(add_gradient)


def describe_limit(
    prices: Prices, preferred: Architecture, found: Architecture, *, max_macs: int
) -> str:
    """Say what the limit has changed of what alpha and beta prefer."""
    if found == preferred:
        return f"cost  {prices.macs(found):,} MACs, within the limit of {max_macs:,}"
    return (
        f"cost  alpha and beta prefer an architecture of {prices.macs(preferred):,} MACs; of those "
        f"within the limit of {max_macs:,} the best has {prices.macs(found):,}. What is said of "
        "margins and doubts is of the former:"
    )
