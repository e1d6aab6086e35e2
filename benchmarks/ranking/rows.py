"""The scores that are known, kept in a file from which a stopped call goes on."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from autoseg.architecture import Architecture
from autoseg.atomic import atomic_write
from autoseg.errors import UsageError

from .candidates import Candidate


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What one scorer says of one architecture."""

    scorer: str
    """Name of the scorer, with the steps where it trains."""
    seed: int
    """Seed of weights, batches and sampled paths."""
    number: int
    """Number of the candidate."""
    stratum: int
    """Quarter of all paths in which the candidate's lies, by mean stride; 0 is the finest."""
    path: str
    """The candidate's strides."""
    cell: str
    """Cell of the candidate: for each node the two sources with their operations."""
    score: float
    """Higher is better; mIoU in [0, 1] where the scorer trains."""
    seconds: float
    """Time that it took; the supernet's training is in that of the first candidate."""
    commit: str
    """Commit of the code that scored."""

    @property
    def key(self) -> tuple[str, int, int]:
        """What is scored by what."""
        return self.scorer, self.seed, self.number


def describe_path(architecture: Architecture) -> str:
    """Write the strides of a path."""
    return " ".join(map(str, architecture.path))


def describe_cell(architecture: Architecture) -> str:
    """Write a cell on one line."""
    return " | ".join(
        " ".join(f"{edge.source}:{edge.op}" for edge in edges) for edges in architecture.cell
    )


def read_scores(path: Path, candidates: Sequence[Candidate]) -> list[Score]:
    """Read the scores of earlier calls; none where there is no file.

    Raises:
        UsageError: If they are of other architectures.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            Score(
                scorer=row["scorer"],
                seed=int(row["seed"]),
                number=int(row["number"]),
                stratum=int(row["stratum"]),
                path=row["path"],
                cell=row["cell"],
                score=float(row["score"]),
                seconds=float(row["seconds"]),
                commit=row["commit"],
            )
            for row in csv.DictReader(file)
        ]
    drawn = {each.number: each.architecture for each in candidates}
    for row in rows:
        known = drawn.get(row.number)
        if known is None or (describe_path(known), describe_cell(known)) != (row.path, row.cell):
            raise UsageError(
                f"{path} holds scores of other architectures (number {row.number}: path "
                f"{row.path}); give the settings of the earlier call, or another --out."
            )
    return rows


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """Write all scores."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Score)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(score) for score in scores)
    atomic_write(path, text.getvalue().encode())
