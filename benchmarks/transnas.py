"""Search real results: discrete strategies on networks that others have trained.

The subset of TransNAS-Bench-101 has, for two spaces, several hundred networks with the pixel
accuracy that each reached in semantic segmentation. A search there costs nothing, so that it is
repeated with many seeds: regret is the accuracy of the best network minus that of the best one
tried. Random search has an exact expectation, that of draws without replacement, and a strategy
that learns has to end below it. Without the tables (--tables, or the variable AUTOSEG_TRANSNAS) it
says so and ends.

    python benchmarks/transnas.py --tables ~/transnas --out results/transnas
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import comb, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from autoseg.atomic import atomic_write
from autoseg.cli import read_request, run_command
from autoseg.errors import UsageError, reading
from autoseg.foreign_text import printable
from autoseg.proposers import (
    Domain,
    DomainSampler,
    EvolutionSampler,
    PredictorSampler,
    RandomSampler,
    Study,
    TPESampler,
)
from autoseg.runs import Progress, describe_environment

VARIABLE = "AUTOSEG_TRANSNAS"
FILES = {"micro": "segmentsemantic_micro.csv", "macro": "segmentsemantic_macro.csv"}
BUDGETS = (10, 25, 50, 100)
"""Networks tried, after each of which the regret is read."""
NUM_NEIGHBOURS = 4
"""A network with fewer others at one digit's distance takes the nearest so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransNAS:
    """Settings of the searches."""

    tables: Path | None = None
    """Folder of segmentsemantic_micro.csv and segmentsemantic_macro.csv; none: the variable
    AUTOSEG_TRANSNAS."""
    out: Path = Path("results/transnas")
    """Folder for transnas.csv, transnas.md and transnas.json."""
    num_seeds: int = 100
    """Searches of each strategy."""
    population_size: int = 10
    """The population of evolution; TPE and the predictor draw as many at random."""
    tournament_size: int = 5
    """Networks of the population that compete to be mutated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One strategy in one space after so many networks."""

    space: str
    """micro or macro."""
    strategy: str
    """The strategy, by its name in `--strategy`."""
    budget: int
    """Networks tried."""
    regret: float
    """Mean over the seeds, in percent of the pixels."""
    standard_error: float
    """The standard error of that mean."""
    exact_random: float
    """Expected regret of as many draws without replacement."""
    gain: float
    """Mean over the seeds of random's regret minus this one's, of the same seed."""
    gain_error: float
    """Standard error of that mean."""
    p_value: float
    """How often the gains, each with a random sign, have a mean as far from 0."""


class TableDomain(Domain[str]):
    """The networks of a table, by their encoding: digits joined by "-".

    A digit is a parameter, and an encoding that ends earlier has the option "" there. A combination
    that the table lacks is read as the first of those with the fewest other digits. A mutation goes
    to a network with one other digit or, from one that has few of these, to one of the nearest.
    """

    def __init__(self, encodings: list[str]) -> None:
        """Compare each encoding with each."""
        self.encodings = sorted(encodings)
        self._number = {encoding: number for number, encoding in enumerate(self.encodings)}
        rows = [encoding.split("-") for encoding in self.encodings]
        length = max(map(len, rows))
        self._digits = np.array([[*row, *[""] * (length - len(row))] for row in rows])
        self.options = {
            f"digit{place}": tuple(map(str, values))
            for place in range(length)
            if len(values := np.unique(self._digits[:, place])) > 1
        }
        distances = (self._digits[:, None] != self._digits[None]).sum(axis=-1)
        self._neighbours = [self._near(row) for row in distances]

    @staticmethod
    def _near(distances: np.ndarray) -> list[int]:
        by_distance = np.argsort(distances, kind="stable")[1:]  # the first is the network itself
        num_at_one = int((distances == 1).sum())
        return [int(number) for number in by_distance[: max(num_at_one, NUM_NEIGHBOURS)]]

    def sample(self, generator: torch.Generator) -> str:
        """Draw one with the same probability."""
        return self.encodings[int(torch.randint(len(self.encodings), (), generator=generator))]

    def mutate(self, value: str, generator: torch.Generator) -> str:
        """Draw a neighbour."""
        near = self._neighbours[self._number[value]]
        if not near:
            return value
        return self.encodings[near[int(torch.randint(len(near), (), generator=generator))]]

    def encode(self, value: str) -> dict[str, str]:
        """Return the digits."""
        digits = self._digits[self._number[value]]
        return {name: str(digits[int(name.removeprefix("digit"))]) for name in self.options}

    def decode(self, chosen: Mapping[str, str]) -> str:
        """Return the nearest network of the table."""
        differences = sum(
            self._digits[:, int(name.removeprefix("digit"))] != digit
            for name, digit in chosen.items()
        )
        return self.encodings[int(np.argmin(differences))]


def main(argv: list[str] | None = None) -> None:
    """Run the searches of every strategy in both spaces; print and write the table."""
    settings = read_request(
        TransNAS,
        argv,
        prog="python benchmarks/transnas.py",
        description="Search tables of trained networks: does a strategy beat random?",
        example="python benchmarks/transnas.py --tables ~/transnas --out results/transnas",
    )
    folder = settings.tables or Path(os.environ.get(VARIABLE, ""))
    if folder == Path():
        print(f"skipped: no tables of TransNAS-Bench-101; give --tables, or set {VARIABLE}.")
        return
    rows: list[Row] = []
    for space, name in FILES.items():
        accuracies = read_table(folder / name)
        domain = TableDomain(list(accuracies))
        regrets = {}
        for strategy in ("random", "evolution", "tpe", "predictor"):
            regrets[strategy] = search_often(strategy, space, domain, accuracies, settings)
            rows += summarise(space, strategy, regrets, accuracies)
            write(settings, rows, argv)
    print(markdown(settings, rows))


def read_table(path: Path) -> dict[str, float]:
    """Read the pixel accuracy of each network, in percent.

    Raises:
        UsageError: If the file does not exist.
        FileError: If it is no such table.
    """
    if not path.is_file():
        raise UsageError(f"{printable(str(path))} does not exist; give the tables' folder.")
    with reading(path, "a table of networks with their pixel accuracy"):
        table = pd.read_csv(path, dtype={"arch": str})
        if table.empty or not np.isfinite(table["pixel_accuracy"]).all():
            raise ValueError("it has no networks, or one without an accuracy")
        return dict(zip(table["arch"], table["pixel_accuracy"].astype(float), strict=True))


def search_often(
    strategy: str,
    space: str,
    domain: TableDomain,
    accuracies: dict[str, float],
    settings: TransNAS,
) -> np.ndarray:
    """Search with each seed; returns the regret after each network, (num_seeds, num_tried)."""
    num_tried = min(BUDGETS[-1], len(accuracies))
    regrets = np.empty((settings.num_seeds, num_tried))
    with Progress(settings.num_seeds, description=f"{space}, {strategy}", unit="seed") as shown:
        for seed in range(settings.num_seeds):
            study = Study(sampler_of(strategy, domain, settings, seed))
            for number in range(num_tried):
                tried = study.propose()
                study.add(tried, (accuracies[tried],))
                regrets[seed, number] = accuracies[tried]
            shown.update()
    return max(accuracies.values()) - np.maximum.accumulate(regrets, axis=1)


def sampler_of(
    strategy: str, domain: TableDomain, settings: TransNAS, seed: int
) -> DomainSampler[str]:
    """Build what a search by the strategy asks; all draw the same first networks from a seed."""
    size = settings.population_size
    if strategy == "evolution":
        return EvolutionSampler(
            domain, seed=(seed,), population_size=size, tournament_size=settings.tournament_size
        )
    if strategy == "tpe":
        return TPESampler(domain, seed=(seed,), num_random=size)
    if strategy == "predictor":
        return PredictorSampler(domain, seed=(seed,), num_random=size)
    return RandomSampler(domain, seed=(seed,))


def exact_random_regret(accuracies: dict[str, float], budget: int) -> float:
    """Return the expected regret of so many draws without replacement.

    The best of n draws from N is the k-th best with probability C(N - k, n - 1) / C(N, n).
    """
    ordered = sorted(accuracies.values(), reverse=True)
    total, num = comb(len(ordered), budget), len(ordered)
    return sum(
        (ordered[0] - value) * (comb(num - place, budget - 1) / total)
        for place, value in enumerate(ordered, start=1)
    )


def summarise(
    space: str, strategy: str, regrets: dict[str, np.ndarray], accuracies: dict[str, float]
) -> list[Row]:
    """Compare a strategy with random, seed by seed, after each budget."""
    rows = []
    for budget in (budget for budget in BUDGETS if budget <= len(accuracies)):
        own = regrets[strategy][:, budget - 1]
        gains = regrets["random"][:, budget - 1] - own
        rows.append(
            Row(
                space=space,
                strategy=strategy,
                budget=budget,
                regret=float(own.mean()),
                standard_error=_standard_error(own),
                exact_random=exact_random_regret(accuracies, budget),
                gain=float(gains.mean()),
                gain_error=_standard_error(gains),
                p_value=sign_flip_p_value(gains),
            )
        )
    return rows


def sign_flip_p_value(gains: np.ndarray, *, num_draws: int = 20_000) -> float:
    """Return how often gains of random signs have a mean as far from 0; the gains count as one."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(num_draws, len(gains)))
    as_far = np.abs(signs @ gains) >= abs(gains.sum()) - 1e-9
    return float((as_far.sum() + 1) / (num_draws + 1))


def _written(p_value: float) -> str:
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / sqrt(len(values))) if len(values) > 1 else float("nan")


def write(settings: TransNAS, rows: list[Row], argv: list[str] | None) -> None:
    """Write the rows so far: table, data and record."""
    arguments = sys.argv[1:] if argv is None else argv
    record: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/transnas.py", *arguments]),
        "config": asdict(settings) | {"out": str(settings.out), "tables": None},
        **describe_environment(),
        "rows": [asdict(row) for row in rows],
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([asdict(row) for row in rows])
    atomic_write(settings.out / "transnas.csv", table.to_csv(index=False).encode())
    atomic_write(settings.out / "transnas.json", json.dumps(record, indent=2).encode())
    text = f"{markdown(settings, rows)}\nCommand: `{record['command']}`\n"
    atomic_write(settings.out / "transnas.md", text.encode())


def markdown(settings: TransNAS, rows: list[Row]) -> str:
    """Lay the rows out as a table, with how they are to be read."""
    table = pd.DataFrame(
        {
            "space": [row.space for row in rows],
            "strategy": [row.strategy for row in rows],
            "networks tried": [row.budget for row in rows],
            "regret": [f"{row.regret:.3f} ± {row.standard_error:.3f}" for row in rows],
            "random, exact": [f"{row.exact_random:.3f}" for row in rows],
            "gain over random": [
                "" if row.strategy == "random" else f"{row.gain:+.3f} ± {row.gain_error:.3f}"
                for row in rows
            ],
            "p": ["" if row.strategy == "random" else _written(row.p_value) for row in rows],
        }
    )
    return (
        f"{table.to_markdown(index=False, disable_numparse=True)}\n\n"
        f"Regret: pixel accuracy of the best network minus that of the best one tried, in percent; "
        f"mean of {settings.num_seeds} seeds ± one standard error. Gain: random's regret minus the "
        "strategy's, of the same seed; p: how often gains of random signs have a mean as far from "
        "0. Random, exact: expectation of draws without replacement. Population "
        f"{settings.population_size}, tournament {settings.tournament_size}, the defaults of a "
        "search.\n"
    )


if __name__ == "__main__":
    run_command(main)
