"""What `--preset auto` lowers where a retraining's step does not fit into a GPU's memory.

docs/plan.md has the rules, and why they are these.
"""

import bisect
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from autoseg.cli.console import announce
from autoseg.commands.auto_plan import (
    MEMORY_SHARE,
    SHORTEST_SIDE,
    facts_of,
    resident_gib,
)
from autoseg.commands.retrain_estimate import memory_text
from autoseg.commands.step_counts import StepCounts
from autoseg.config import TrainingConfig
from autoseg.distributed import from_all, num_processes
from autoseg.trained import NetworkChoice

_CROP_STEP = 32  # pixels: the largest stride of a network's maps


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuRoom:
    """What of a GPU's memory a step may take."""

    memory_gib: float
    """All that the GPU has."""
    step_gib: float
    """What a plan lets a step take of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """What is lowered so that the steps of all networks fit."""

    settings: dict[str, Any]
    """Fields of a training's configuration by name; none where all fits, or nothing may be
    lowered."""
    reasons: tuple[str, ...]
    """Why, in one line; none where all fits."""


def ways_to_fit(
    config: TrainingConfig, *, num_images: int, given: Collection[str]
) -> list[TrainingConfig]:
    """List what a plan may train with in place of a recipe, the nearest to it first.

    First come more parts of the batch, then, in as many parts as there can be, smaller crops of the
    same shape: each step takes less memory than the one before. A batch is passed in the parts that
    `torch.chunk` makes of it, and a part has two images at least, for batch norm's statistics,
    unless these are frozen.

    Args:
        config: The recipe.
        num_images: Images of a batch that one process has.
        given: Names of the settings that the user gave; they stay.
    """
    ways = []
    if "accumulate" not in given:
        smallest = 1 if config.batch_norm == "frozen" else 2
        ways = [
            replace(config, accumulate=parts)
            for parts in range(config.accumulate + 1, num_images + 1)
            if num_images - (parts - 1) * math.ceil(num_images / parts) >= smallest
        ]
    if "crop_size" not in given:
        smallest_step = ways[-1] if ways else config
        ways += [replace(smallest_step, crop_size=crop) for crop in _smaller(config.crop_size)]
    return ways


def _smaller(crop: tuple[int, int]) -> list[tuple[int, int]]:
    """List smaller crops of the same shape, the largest first."""
    short = min(crop)
    factors = [side / short for side in range(short - _CROP_STEP, SHORTEST_SIDE - 1, -_CROP_STEP)]
    return [(round(crop[0] * factor), round(crop[1] * factor)) for factor in factors]


def plan_memory(
    config: TrainingConfig,
    takes: Callable[[str, TrainingConfig], float],
    *,
    labels: Sequence[str],
    num_images: int,
    room: GpuRoom,
    given: Collection[str],
) -> MemoryPlan:
    """Choose what to train with, so that all networks fit. A pure function of what steps take.

    Args:
        config: The recipe, which is taken where it fits.
        takes: Tells what a step of a network takes, GiB, by the network's label and the recipe.
        labels: The networks; all have one recipe, as they are compared, and so the largest decides.
        num_images: Images of a batch that one process has.
        room: What a step may take.
        given: Names of the settings that the user gave; they stay.
    """

    def fits(tried: TrainingConfig) -> bool:
        return all(takes(label, tried) <= room.step_gib for label in by_size)

    by_size = sorted(labels, key=lambda label: -takes(label, config))
    if fits(config):
        return MemoryPlan(settings={}, reasons=())
    need = takes(by_size[0], config)
    too_much = (
        f"a step of {by_size[0]} would take about {memory_text(need)}, and a plan lets it take "
        f"{memory_text(max(0.0, room.step_gib))} of the GPU's {memory_text(room.memory_gib)}"
    )
    chosen = _first(ways_to_fit(config, num_images=num_images, given=given), fits)
    if chosen is not None:
        settings = {
            name: getattr(chosen, name)
            for name in ("accumulate", "crop_size")
            if getattr(chosen, name) != getattr(config, name)
        }
        return MemoryPlan(settings=settings, reasons=(f"{_in_words(settings)}, as {too_much}",))
    verdict = "does not fit" if need > room.memory_gib else "may not fit"
    open_to_all = _first(ways_to_fit(config, num_images=num_images, given=()), fits)
    if open_to_all is None:
        remedy = "no smaller crop does either: take a smaller network (--width), or a larger GPU"
    else:
        height, width = open_to_all.crop_size
        remedy = (
            f"what was given stays; --accumulate {open_to_all.accumulate} --crop-size {height} "
            f"{width} would fit"
        )
    return MemoryPlan(settings={}, reasons=(f"it {verdict}: {too_much}; {remedy}",))


def _in_words(settings: dict[str, Any]) -> str:
    words = []
    if parts := settings.get("accumulate"):
        words.append(
            f"each batch in {parts} parts (--accumulate), with the gradient of the whole and batch "
            "norm's statistics of a part"
        )
    if crop := settings.get("crop_size"):
        words.append(f"crops of {crop[0]} x {crop[1]} pixels (--crop-size)")
    return ", and ".join(words)


def _first(
    ways: Sequence[TrainingConfig], fits: Callable[[TrainingConfig], bool]
) -> TrainingConfig | None:
    """Return the first that fits; all behind one that fits do as well."""
    position = bisect.bisect_left(ways, True, key=fits)
    return ways[position] if position < len(ways) else None


def planned_memory(
    networks: Sequence[NetworkChoice],
    config: TrainingConfig,
    counts: StepCounts,
    *,
    given: Collection[str],
) -> MemoryPlan:
    """Plan what a retraining lowers from what its steps are counted to take, and say so.

    Networks whose memory is not known decide nothing. Nor does a CPU, which has no memory of its
    own.

    Args:
        networks: What is trained.
        config: The recipe, fitted to the images.
        counts: Counts the steps.
        given: Names of the settings that the user gave.
    """
    memory = facts_of(counts.device).memory_gib
    step = MEMORY_SHARE * memory - resident_gib(counts.dataset, config.resident_gib)
    # Processes train with one recipe, whichever GPUs they have.
    room = GpuRoom(memory_gib=min(from_all(memory)), step_gib=min(from_all(step)))
    known = {} if math.isinf(room.memory_gib) else _known(networks, config, counts)
    if not known:
        return MemoryPlan(settings={}, reasons=())
    plan = plan_memory(
        config,
        lambda label, tried: counts(known[label], tried).memory_gib,
        labels=list(known),
        num_images=config.batch_size // num_processes(),
        room=room,
        given=given,
    )
    for reason in plan.reasons:
        announce(f"retrain: plan: {reason}")
    return plan


def _known(
    networks: Sequence[NetworkChoice], config: TrainingConfig, counts: StepCounts
) -> dict[str, NetworkChoice]:
    """Return the networks whose steps can be counted, by label; the estimate says why not."""
    from autoseg.training.step_tally import UncountableError

    known = {}
    for choice in networks:
        with suppress(UncountableError):
            counts(choice, config)
            known[choice.label] = choice
    return known
