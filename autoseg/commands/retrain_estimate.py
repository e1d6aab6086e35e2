"""What a retraining will take, said before it starts: memory of a step, and time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.cli.console import announce
from autoseg.commands.auto_plan import facts_of, speed_up
from autoseg.commands.retrain_steps import step_seconds
from autoseg.commands.step_counts import StepCounts
from autoseg.config import TrainingConfig
from autoseg.distributed import num_processes
from autoseg.runs import schema
from autoseg.trained import NetworkChoice

ESTIMATE_FIELDS = {
    "memory_gib": schema.mapping_of(schema.optional(schema.number(0))),
    "seconds": schema.mapping_of(schema.optional(schema.number(0))),
}
"""Fields of a plan in a record, of all networks; earlier ones lack them."""

_SECONDS_PER_GB = 0.96
"""Of a step for what its operators write, on one core of an AMD EPYC with AVX2: nine networks of
results/training_step take 0.66 to 1.21."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What the trainings of a retraining are reckoned to take, by the label of their network."""

    memory_gib: Mapping[str, float | None]
    """GiB that a step takes at most, in each process; None if it is not known."""
    seconds: Mapping[str, float | None]
    """Seconds of a training with one seed; None if they are not known."""

    def record(self, label: str | None = None) -> dict[str, Any]:
        """Return what run.json keeps of it: of all networks, or of the one with a label."""
        if label is None:
            return {"memory_gib": dict(self.memory_gib), "seconds": dict(self.seconds)}
        return {"memory_gib": self.memory_gib.get(label), "seconds": self.seconds.get(label)}

    @classmethod
    def from_record(cls, plan: Mapping[str, Any]) -> "Estimate | None":
        """Return the estimate in a plan whose fields are `ESTIMATE_FIELDS`; None if it has none."""
        if not ESTIMATE_FIELDS.keys() <= plan.keys():
            return None
        return cls(memory_gib=plan["memory_gib"], seconds=plan["seconds"])


def estimate_trainings(
    networks: Sequence[NetworkChoice],
    config: TrainingConfig,
    counts: StepCounts,
    *,
    num_seeds: int,
    is_published_size: bool,
) -> Estimate:
    """Estimate what trainings take, and say so, and what is not known.

    Args:
        networks: What is trained.
        config: The recipe; several processes share its batch.
        counts: Counts the steps, where they will be made.
        num_seeds: Trainings of each network.
        is_published_size: Whether networks are of the published sizes, whose speed on a GPU is
            known.
    """
    # Late: torch's tensors without numbers take half a second to import.
    from autoseg.training.step_tally import UncountableError

    device = counts.device
    memory: dict[str, float | None] = {}
    seconds: dict[str, float | None] = {}
    for choice in networks:
        label, step_s = choice.label, None
        try:
            tally = counts(choice, config)
            memory[label] = round(tally.memory_gib, 4)
            if device.type == "cpu":
                step_s = tally.written_gb * _SECONDS_PER_GB / speed_up(facts_of(device))
        except UncountableError as error:
            memory[label] = None
            announce(f"retrain: plan: memory of {label} is not known: {error}")
        if device.type == "cuda" and is_published_size:
            step_s = step_seconds(config) / num_processes()
        seconds[label] = config.seconds
        if config.seconds is None and step_s is not None:
            seconds[label] = round(config.num_steps * step_s)
    estimate = Estimate(memory_gib=memory, seconds=seconds)
    for line in _lines(estimate, config, num_seeds=num_seeds):
        announce(f"retrain: plan: {line}")
    return estimate


def _lines(estimate: Estimate, config: TrainingConfig, *, num_seeds: int) -> list[str]:
    """Return what a person reads before the trainings begin."""
    lines = []
    memory = {label: gib for label, gib in estimate.memory_gib.items() if gib is not None}
    if memory:
        shown = ", ".join(f"{memory_text(gib)} for {label}" for label, gib in memory.items())
        each = f", in each of {num_processes()} processes" if num_processes() > 1 else ""
        lines.append(f"a step takes about {shown}{each}")
    num_trainings = num_seeds * len(estimate.seconds)
    if config.seconds is not None:
        in_all = f", {_exactly(num_trainings * config.seconds)} in all" if num_trainings > 1 else ""
        lines.append(
            f"{config.budget} for each training (--budget){in_all}, and the validation at its end"
        )
        return lines
    times = {label: s for label, s in estimate.seconds.items() if s is not None}
    if times:
        shown = ", ".join(f"{_minutes(s)} for {label}" for label, s in times.items())
        seeds = f", each with {num_seeds} seeds" if num_seeds > 1 else ""
        lines.append(
            f"the steps take about {shown}{seeds}: {_minutes(num_seeds * sum(times.values()))} in "
            "all, if nothing else runs"
        )
    if unknown := [label for label in estimate.seconds if label not in times]:
        lines.append(
            f"how long {', '.join(unknown)} takes is not known: the progress says it after the "
            "first steps, and --budget sets it"
        )
    return lines


def memory_text(gib: float) -> str:
    """Return a size in GiB, or MiB where it is smaller."""
    return f"{gib:.1f} GiB" if gib >= 1 else f"{1024 * gib:.0f} MiB"


def _exactly(seconds: float) -> str:
    """Write a time that was asked for, not reckoned: 9 min, 1 min 20 s."""
    minutes, rest = divmod(round(seconds), 60)
    parts = [(minutes, "min"), (rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def _minutes(seconds: float) -> str:
    return f"{math.ceil(seconds / 60)} min"
