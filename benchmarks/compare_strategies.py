"""Compare what search strategies find, at equal cost, with architectures drawn at random.

`python benchmarks/compare_strategies.py --help`. Every contestant searches the same space with
about the same processor time, within the same limit of MACs; what it finds is retrained alike and
scored once on images that nothing was chosen on. Every row is written when it is known, and the
same call goes on where one was stopped, in the middle of a search or a retraining too.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from strategy_comparison.contestants import CONTESTANT_NAMES, find_contestant
from strategy_comparison.images import EMBEDDED, PRESET, Images
from strategy_comparison.report import write_figure, write_report
from strategy_comparison.rows import read_rows, write_rows
from strategy_comparison.trial import Setting, price_networks, run_trial

from autoseg.architecture import SearchSpace
from autoseg.cli import OK, read_request, run_command
from autoseg.config import RETRAIN_PRESETS
from autoseg.config.quantities import number_of

PROG = "python benchmarks/compare_strategies.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonRequest:
    """What a user can say to `python benchmarks/compare_strategies.py`."""

    contestants: tuple[str, ...] = CONTESTANT_NAMES
    """Who takes part: drawn (architectures drawn at random, not searched), searches and fixed
    networks by name; benchmarks/strategy_comparison/contestants.py has their options."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of search and retraining; each is a run of every contestant."""
    max_macs: str = "45M"
    """Most MACs of an architecture, for the largest image as the networks see it."""
    num_steps: int = RETRAIN_PRESETS[PRESET].num_steps
    """Steps of each retraining."""
    dataset: str = EMBEDDED
    """Dataset by name, as of `python -m autoseg.search`."""
    data_root: Path | None = None
    """Where it lies; none: $AUTOSEG_DATA."""
    num_test_images: int | None = None
    """Test scenes of the embedded dataset that score; none: 512, and the whole test split of any
    other."""
    space: str = "autodeeplab"
    """Search space, in its tiny preset."""
    runs: Path = Path("runs/compare_strategies")
    """Folder for the run folders."""
    out: Path = Path("results/strategies/comparison")
    """Folder for rows.csv, comparison.md, comparison.json, comparison.png and comparison.svg."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        ComparisonRequest,
        arguments,
        prog=PROG,
        description="Compare what search strategies find, at equal cost.",
        example=f"{PROG}\n{PROG} --contestants drawn halving --seeds 0 1 2",
    )
    contestants = [find_contestant(name) for name in request.contestants]
    space = SearchSpace.load(request.space, preset=PRESET)
    images = Images(
        dataset=request.dataset,
        data_root=request.data_root,
        num_test_images=request.num_test_images,
    )
    setting = Setting(
        space=space,
        space_name=request.space,
        prices=price_networks(space, images),
        limit=int(number_of(request.max_macs, name="max_macs")),
        num_steps=request.num_steps,
        images=images,
    )
    rows = read_rows(request.out / "rows.csv")
    command = [*PROG.split(), *arguments]
    text = write_report(request.out, rows, setting=setting, command=command)
    for seed in request.seeds:
        for contestant in contestants:
            if (contestant.name, seed) in {row.key for row in rows}:
                continue
            folder = request.runs / contestant.name / f"seed-{seed}"
            rows.append(run_trial(contestant, seed, setting=setting, folder=folder))
            write_rows(request.out / "rows.csv", rows)
            text = write_report(request.out, rows, setting=setting, command=command)
            print(f"{contestant.name}, seed {seed}: {rows[-1].miou:.4f}", flush=True)
    if rows:
        write_figure(request.out, rows)
    print(text)
    return OK


if __name__ == "__main__":
    run_command(main)
