"""Measure whether cheap scores rank architectures as retraining them does.

`python benchmarks/supernet_ranking.py --help`. Architectures are drawn evenly over four quarters of
the paths, retrained alike, and scored by the weights that they inherit from supernets, by short
trainings and by their size, all on the embedded dataset or one of `--dataset`. Every score is
written when it is known; the same call goes on where one was stopped, and calls with other scorers
add to the table.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ranking.candidates import Candidate, draw_candidates
from ranking.report import require_same_images, write_figure, write_report
from ranking.rows import Score, describe_cell, describe_path, read_scores, write_scores
from ranking.scorers import UNTRAINED, build_scorer

from autoseg.architecture import SearchSpace
from autoseg.cli import OK, read_request, run_command
from autoseg.config import DataConfig
from autoseg.runs.environment import git_state

PROG = "python benchmarks/supernet_ranking.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingRequest:
    """What a user can say to `python benchmarks/supernet_ranking.py`."""

    scorers: tuple[str, ...] = (
        *("retrain:200", "parameters", "macs", "fineness", "jacov", "nwot", "snip", "zico"),
        *("short:25", "short:50", "short:100", "speed:75", "alone:100"),
        *("uniform:256", "uniform:1024", "uniform:4096", "fair:146", "fair:585", "darts:128"),
    )
    """What scores: names with the training steps, of each architecture or of the supernet, behind a
    colon; what does not train has none."""
    truth: str = "retrain:200"
    """The scorer that the others are compared with."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of each scorer that trains."""
    num_architectures: int = 20
    """Architectures, a quarter of them from each quarter of the paths by mean stride."""
    space: str = "autodeeplab"
    """Search space, in its tiny preset."""
    dataset: str = DataConfig().dataset
    """Dataset by name, as of `python -m autoseg.search`."""
    data_root: Path | None = None
    """Where it lies; none: $AUTOSEG_DATA."""
    out: Path = Path("results/ranking")
    """Folder for scores.csv, ranking.csv, ranking.md, ranking.json, ranking.png and ranking.svg, of
    one dataset."""

    @property
    def data(self) -> DataConfig:
        """Images that train and score."""
        return DataConfig(dataset=self.dataset, data_root=self.data_root)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        RankingRequest,
        arguments,
        prog=PROG,
        description="Measure whether cheap scores rank architectures as retraining them does.",
        example=f"{PROG}\n{PROG} --scorers retrain:200 --seeds 0 1",
    )
    space = SearchSpace.load(request.space, preset="tiny")
    require_same_images(request.out, request.dataset)
    candidates = draw_candidates(space, request.num_architectures, seed=0)
    scores = read_scores(request.out / "scores.csv", candidates)
    command = [*PROG.split(), *arguments]

    def report() -> str:
        return write_report(
            request.out,
            scores,
            space=space,
            dataset=request.dataset,
            truth=request.truth,
            command=command,
        )

    text = report()
    for seed in request.seeds:
        for name in request.scorers:
            if seed == request.seeds[0] or name not in UNTRAINED:
                scores = score_all(request, space, name, candidates, scores, seed=seed)
                text = report()
    write_figure(request.out, scores, truth=request.truth)
    print(text)
    return OK


def score_all(
    request: RankingRequest,
    space: SearchSpace,
    name: str,
    candidates: Sequence[Candidate],
    scores: Sequence[Score],
    *,
    seed: int,
) -> list[Score]:
    """Score the candidates that have none by this scorer, and write each score when it is known."""
    known = {score.key for score in scores}
    missing = [each for each in candidates if (name, seed, each.number) not in known]
    scorer = build_scorer(name, space, data=request.data, seed=seed)
    state = git_state()
    commit = "unknown" if state is None else state["commit"] + "+changes" * state["dirty"]
    scores = list(scores)
    for candidate in missing:
        start = time.perf_counter()
        value = scorer.score(candidate.architecture)
        scores.append(
            Score(
                scorer=name,
                seed=seed,
                number=candidate.number,
                stratum=candidate.stratum,
                path=describe_path(candidate.architecture),
                cell=describe_cell(candidate.architecture),
                score=value,
                seconds=round(time.perf_counter() - start, 2),
                commit=commit,
            )
        )
        write_scores(request.out / "scores.csv", scores)
        print(f"{name}, seed {seed}, {scores[-1].path}: {value:.4f}", flush=True)
    return scores


if __name__ == "__main__":
    run_command(main)
