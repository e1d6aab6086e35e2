"""What `--strategy auto` chooses: short trainings where they were seen to pay, DARTS elsewhere.

`results/strategies/comparison` is what the choice rests on; docs/strategies.md says how far.
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from autoseg.architecture import CellSpace, load_space
from autoseg.config import SearchConfig, values_of
from autoseg.distributed import num_processes
from autoseg.errors import unknown_name
from autoseg.requests import SearchRequest
from autoseg.strategies import STRATEGIES

AUTO = "auto"
"""What stands for a choice by these rules on the command line."""

ENDS = frozenset({"budget", "arch_steps", "num_epochs", "num_samples"})
"""Options that say when a search ends."""

HALVING_STEPS = 2400
"""Training steps of all samples together, as they were compared."""

_HALVING: dict[str, Any] = {
    "pruner": "halving",
    "min_steps": 50,
    "reduction_factor": 2,
    "sample_steps": 400,
    "val_images": 64,
}
"""Random search with successive halving, as it was compared."""

_MIN_STEPS = 4 * _HALVING["sample_steps"]
_MIN_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyChoice:
    """A strategy with what it brings."""

    strategy: str
    """The name that it has among the strategies."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of a search's configuration by name, for those that the user left open."""
    words: str = ""
    """What was chosen, and why; empty where the user chose."""


def choose_strategy(request: SearchRequest, device: torch.device) -> StrategyChoice:
    """Take the strategy that the user names, or choose for `--strategy auto`.

    Raises:
        UsageError: If nothing has that name.
    """
    if request.strategy in STRATEGIES:
        return StrategyChoice(strategy=request.strategy)
    if request.strategy != AUTO:
        raise unknown_name("strategy", request.strategy, (AUTO, *STRATEGIES))
    if (reason := _why_darts(request, device)) is not None:
        return StrategyChoice(strategy="darts", words=f"darts, {reason} (--strategy)")
    return StrategyChoice(
        strategy="random",
        settings={**_HALVING, "arch_steps": 0 if request.given & ENDS else HALVING_STEPS},
        words="random with --pruner halving, short trainings of which the better half goes on "
        "(--strategy, docs/strategies.md)",
    )


def _why_darts(request: SearchRequest, device: torch.device) -> str | None:
    """Say what speaks against short trainings; None where nothing does."""
    if device.type != "cpu" or request.preset == "paper":
        return "as short trainings were compared with it in small sizes on a CPU alone"
    if num_processes() > 1:
        return "as it is what several processes can share"
    if isinstance(load_space(request.space), CellSpace):
        return "as short trainings were not compared with it on cells alone"
    if request.estimator != "short":
        return f"as --estimator {request.estimator} is none for short trainings"
    read = STRATEGIES["random"].settings(request.with_defaults(**_HALVING))
    unread = sorted(set(values_of(SearchConfig())) & request.given - read)
    if unread:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in unread)
        return f"as short trainings do not read {options}"
    given = request.given
    if "arch_steps" in given and request.arch_steps < _MIN_STEPS:
        return f"as short trainings need {_MIN_STEPS:,} --arch-steps"
    if "budget" in given and (request.pick(SearchConfig).seconds or 0) < _MIN_SECONDS:
        return f"as short trainings need a --budget of {_MIN_SECONDS:.0f}s"
    return None
