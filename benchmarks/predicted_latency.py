"""Compare predicted with measured latency: `python benchmarks/predicted_latency.py`.

A latency table of the tiny space is measured; then architectures are decoded from random alpha and
beta, and the networks are timed whole, in turns: where another program takes half of the processor
for some seconds, it takes it from all of them. The rows are therefore known at once.
"""

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import pandas as pd
import torch

from autoseg.architecture import Architecture, SearchSpace, decode
from autoseg.atomic import atomic_write
from autoseg.cli import OK, read_request, run_command
from autoseg.config import RETRAIN_PRESETS, Count, Seed
from autoseg.cost import measure_in_rounds, reference_operation
from autoseg.metrics.rank_correlation import kendall_interval, kendall_tau
from autoseg.networks import build_network
from autoseg.pricing import LatencyTable, PricedNetworks, count_prices, measure_table
from autoseg.runs import describe_environment

PROG = "python benchmarks/predicted_latency.py"
_PRESET = "tiny"
_SIZES = RETRAIN_PRESETS[_PRESET]
_CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "processor": time.process_time,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedLatency:
    """Settings of the comparison."""

    out: Path = Path("results/predicted_latency")
    """Folder for latency_table.json and predicted_latency.csv, .md and .json."""
    num_architectures: Count = 24
    """Architectures that are decoded, and timed."""
    seed: Seed = 0
    """Seed of alpha and beta."""
    clock: Literal["wall", "processor"] = "wall"
    """wall, or the processor time of this process with one thread, which other programs disturb
    less."""
    min_seconds: float = 0.5
    """Seconds for which each network is timed, at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One architecture."""

    path: str
    """The strides of its layers."""
    macs: int
    """Multiply-accumulates of the network."""
    predicted_ms: float
    """The sum of its parts."""
    measured_ms: float
    """Median of the whole network."""
    is_steady: bool
    """Whether the machine kept its speed meanwhile."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    settings = read_request(
        PredictedLatency,
        words,
        prog=PROG,
        description="Compare the latency that a table predicts with that of whole networks.",
        example=f"{PROG} --num-architectures 50",
    )
    clock = _CLOCKS[settings.clock]
    if settings.clock == "processor":
        torch.set_num_threads(1)  # threads that wait for one another spin, and would count twice
    networks = PricedNetworks(
        space=SearchSpace.load("autodeeplab", preset=_PRESET),
        image_size=(96, 128),
        num_classes=12,
        filter_multiplier=_SIZES.filter_multiplier,
        width=_SIZES.width,
    )
    settings.out.mkdir(parents=True, exist_ok=True)
    table = measure_table(networks, device=torch.device("cpu"), clock=clock)
    table.write(settings.out / "latency_table.json")
    rows = measure(table, settings, clock=clock)
    write_rows(rows, settings.out / "predicted_latency.csv")
    known = summary(rows, seed=settings.seed)
    record = {
        "command": shlex.join([*PROG.split(), *words]),
        "summary": known,
        "environment": describe_environment(),
    }
    page = markdown(rows, known, table, settings)
    name = settings.out / "predicted_latency"
    atomic_write(name.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
    atomic_write(name.with_suffix(".md"), page.encode())
    print(page)
    return OK


def measure(
    table: LatencyTable, settings: PredictedLatency, *, clock: Callable[[], float]
) -> list[Row]:
    """Decode, predict and time all architectures."""
    networks, prices = table.networks, table.prices()
    macs = count_prices(networks)
    generator = torch.Generator().manual_seed(settings.seed)
    images = torch.randn(1, networks.in_channels, *networks.image_size, generator=generator)
    architectures = [draw(networks.space, generator) for _ in range(settings.num_architectures)]
    whole = [
        build_network(
            architecture,
            num_classes=networks.num_classes,
            filter_multiplier=networks.filter_multiplier,
            width=networks.width,
        ).eval()
        for architecture in architectures
    ]
    with torch.inference_mode():
        latencies = measure_in_rounds(
            [lambda network=network: network(images) for network in whole],
            device="cpu",
            reference=reference_operation("cpu"),
            min_seconds=settings.min_seconds,
            max_warm_up_seconds=1.0,
            clock=clock,
        )
    return [
        Row(
            path=" ".join(map(str, architecture.path)),
            macs=macs.cost(architecture),
            predicted_ms=prices.cost(architecture) / 1e6,
            measured_ms=latency.median_ms,
            is_steady=latency.is_stable and latency.drift is None,
        )
        for architecture, latency in zip(architectures, latencies, strict=True)
    ]


def draw(space: SearchSpace, generator: torch.Generator) -> Architecture:
    """Decode what standard normal alpha and beta lead to."""
    alpha = torch.randn(space.num_edges, len(space.operations), generator=generator)
    beta = torch.randn(space.num_layers, space.num_levels, 3, generator=generator)
    return decode(space, alpha, beta)


def summary(rows: Sequence[Row], *, seed: int) -> dict[str, Any]:
    """Return how far the predictions, and MACs, rank as the times do, and how far they are off."""
    measured = [row.measured_ms for row in rows]
    predictors = {
        "latency table": [row.predicted_ms for row in rows],
        "MACs": [float(row.macs) for row in rows],
    }
    ranks = {
        name: {
            "kendall_tau": kendall_tau(values, measured),
            "interval": kendall_interval(values, measured, seed=seed),
        }
        for name, values in predictors.items()
    }
    ratios = [row.predicted_ms / row.measured_ms for row in rows]
    return {"ranks": ranks, "predicted_over_measured": [min(ratios), median(ratios), max(ratios)]}


def markdown(
    rows: Sequence[Row],
    known: dict[str, Any],
    table: LatencyTable,
    settings: PredictedLatency,
) -> str:
    """Write what `summary` knows of the rows as a page."""
    low, middle, high = known["predicted_over_measured"]
    lines = [
        "# Predicted and measured latency",
        "",
        f"{len(rows)} architectures of the tiny space, decoded from random alpha and beta, one "
        f"image of 96 x 128, on {table.machine}; clock: {settings.clock}. The times of "
        f"{table.num_unsteady} of {len(table.parts)} parts and of "
        f"{sum(not row.is_steady for row in rows)} networks were taken while the machine's speed "
        "varied.",
        "",
        "| predictor | Kendall's tau with the measured latency | 95 % interval |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {each['kendall_tau']:.2f} | {each['interval'][0]:.2f} to "
            f"{each['interval'][1]:.2f} |"
            for name, each in known["ranks"].items()
        ),
        "",
        f"Predicted over measured: median {middle:.2f}, from {low:.2f} to {high:.2f}.",
        "",
    ]
    return "\n".join(lines)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write what is known so far."""
    csv = pd.DataFrame([asdict(row) for row in rows]).to_csv(index=False, lineterminator="\n")
    atomic_write(path, csv.encode())


if __name__ == "__main__":
    run_command(main)
