"""Count where the paths lie that a beta without signal decodes, under each path rule.

Beta is normal noise of a standard deviation; each draw is decoded under every rule. A rule without
a preference of its own decodes strides as often as they occur among all paths. One row a deviation
and rule, written as soon as it is known.

    python benchmarks/decoded_paths.py --out results/decoded_paths
"""

import json
import math
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from autoseg.architecture import SearchSpace
from autoseg.architecture.best_paths import best_paths
from autoseg.architecture.path_rule import edge_scores
from autoseg.architecture.trellis import num_trellis_paths
from autoseg.atomic import atomic_write
from autoseg.cli import read_request, run_command
from autoseg.runs import Progress, describe_environment

DEVIATIONS = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedPaths:
    """Settings of the count."""

    out: Path = Path("results/decoded_paths")
    """Folder for decoded_paths.csv, decoded_paths.md and decoded_paths.json."""
    space: str = "autodeeplab"
    """Name of a search space, or the path of its TOML file; its trellis is used."""
    num_draws: int = 5_000
    """Random betas for each deviation."""
    seed: int = 0
    """Seed of the betas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one rule decodes from noise of one deviation."""

    deviation: float
    """Standard deviation of beta."""
    rule: str
    """What an edge scores."""
    border_share: float
    """Share of the layers at the finest or the coarsest stride, in [0, 1]."""
    standard_error: float
    """Standard error of that share, by the deviation between draws."""
    num_paths: int
    """Different paths."""
    most_frequent: str
    """The strides of the path that was decoded most often."""
    most_frequent_share: float
    """Share of the draws that decoded it, in [0, 1]."""


def over_its_start(space: SearchSpace, beta: Tensor) -> Tensor:
    """Score an edge by log p - log(1 / number of the node's edges): its weight over its start's."""
    scores = edge_scores(space, beta, path_rule="paper")
    live = scores > -torch.inf
    return scores + torch.where(live, live.sum(dim=-1, keepdim=True).double().log(), 0)


RULES: dict[str, Callable[[SearchSpace, Tensor], Tensor]] = {
    "paper": lambda space, beta: edge_scores(space, beta, path_rule="paper"),
    "log p - log(1 / number)": over_its_start,
    "unbiased": lambda space, beta: edge_scores(space, beta, path_rule="unbiased"),
}


def main(argv: list[str] | None = None) -> None:
    """Decode the draws under every rule; print and write the table."""
    settings = read_request(
        DecodedPaths,
        argv,
        prog="python benchmarks/decoded_paths.py",
        description="Count where the paths lie that random betas decode.",
        example="python benchmarks/decoded_paths.py --out results/decoded_paths",
    )
    space = SearchSpace.load(settings.space)
    rows: list[Row] = []
    num_decodes = len(DEVIATIONS) * len(RULES) * settings.num_draws
    with Progress(num_decodes, description="decoding", unit="path") as progress:
        for deviation in DEVIATIONS:
            betas = draw_betas(space, deviation, settings.num_draws, settings.seed)
            for rule, score in RULES.items():
                paths = (next(best_paths(space, score(space, beta))).path for beta in betas)
                rows.append(count(space, deviation, rule, paths, progress))
                write(settings, space, rows, argv)
    print(markdown(space, settings.num_draws, rows))


def draw_betas(space: SearchSpace, deviation: float, num_draws: int, seed: int) -> Tensor:
    """Draw betas, float64 (num_draws, num_layers, num_levels, 3); every deviation draws alike."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_draws, space.num_layers, space.num_levels, 3)
    return deviation * torch.randn(shape, generator=generator, dtype=torch.float64)


def count(
    space: SearchSpace,
    deviation: float,
    rule: str,
    paths: Iterable[tuple[int, ...]],
    progress: Progress,
) -> Row:
    """Count the layers of decoded paths at the finest and the coarsest stride."""
    border = {space.strides[0], space.strides[-1]}
    seen: Counter[tuple[int, ...]] = Counter()
    for path in paths:
        seen[path] += 1
        progress.update()
    shares = torch.tensor(
        [sum(stride in border for stride in path) / len(path) for path in seen.elements()],
        dtype=torch.float64,
    )
    ((path, times),) = seen.most_common(1)
    return Row(
        deviation=deviation,
        rule=rule,
        border_share=shares.mean().item(),
        standard_error=shares.std().item() / math.sqrt(len(shares)),
        num_paths=len(seen),
        most_frequent=" ".join(map(str, path)),
        most_frequent_share=times / len(shares),
    )


def border_share_of_all_paths(space: SearchSpace) -> float:
    """Return the share of layers at the finest or the coarsest stride among all paths, exactly."""
    targets: dict[tuple[int, int], list[int]] = {}
    for edge in space.trellis():
        targets.setdefault((edge.layer, edge.source_level), []).append(edge.target_level)
    border = {0, space.num_levels - 1}
    # From each node: the number of ways to the end, and the layers at the border in all of them.
    ways, layers = [1] * space.num_levels, [0] * space.num_levels
    for layer in reversed(range(space.num_layers)):
        following = [targets.get((layer, level), []) for level in range(space.num_levels)]
        layers = [
            sum(layers[target] + (target in border) * ways[target] for target in nodes)
            for nodes in following
        ]
        ways = [sum(ways[target] for target in nodes) for nodes in following]
    return layers[0] / (ways[0] * space.num_layers)


def write(
    settings: DecodedPaths, space: SearchSpace, rows: list[Row], argv: list[str] | None
) -> None:
    """Write the rows so far: table, data and record."""
    arguments = sys.argv[1:] if argv is None else argv
    record: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/decoded_paths.py", *arguments]),
        "config": asdict(settings) | {"out": str(settings.out)},
        **describe_environment(),
        "border_share_of_all_paths": border_share_of_all_paths(space),
        "rows": [asdict(row) for row in rows],
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([asdict(row) for row in rows])
    atomic_write(settings.out / "decoded_paths.csv", table.to_csv(index=False).encode())
    atomic_write(settings.out / "decoded_paths.json", json.dumps(record, indent=2).encode())
    text = f"{markdown(space, settings.num_draws, rows)}\nCommand: `{record['command']}`\n"
    atomic_write(settings.out / "decoded_paths.md", text.encode())


def markdown(space: SearchSpace, num_draws: int, rows: list[Row]) -> str:
    """Lay the rows out as a table, with what they are measured against."""
    finest, coarsest = space.strides[0], space.strides[-1]
    table = pd.DataFrame(
        {
            "deviation of beta": [row.deviation for row in rows],
            "rule": [row.rule for row in rows],
            f"layers at stride {finest} or {coarsest}": [
                f"{row.border_share:.1%} ± {row.standard_error:.1%}" for row in rows
            ],
            "different paths": [f"{row.num_paths:,}" for row in rows],
            "most frequent": [
                f"{row.most_frequent} ({row.most_frequent_share:.1%})"
                if row.num_paths < num_draws
                else "none twice"
                for row in rows
            ],
        }
    )
    num_paths = num_trellis_paths(space.num_layers, space.num_levels)
    share = border_share_of_all_paths(space)
    return (
        f"{table.to_markdown(index=False)}\n\n"
        f"{num_draws:,} draws a row; ± is one standard error. Of the layers of all {num_paths:,} "
        f"paths {share:.1%} lie there.\n"
    )


if __name__ == "__main__":
    run_command(main)
