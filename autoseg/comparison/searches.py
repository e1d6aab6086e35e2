"""The search that a compared network comes from: what it says of itself, and its pictures."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autoseg.runs import load_record, reading_record, schema

_FIGURES = {
    "trellis": "weights of the strides in the end, and the path",
    "path": "the path",
    "cell": "the cell",
    "cell_normal": "the cell that keeps the stride",
    "cell_reduction": "the cell that doubles it",
    "history": "loss, score, entropies and skips by epoch",
    "paths": "what would have been decoded after each epoch, and how surely",
    "scores": "scores of the architectures that were drawn",
    "front": "scores and costs of the architectures that were drawn",
}
"""Pictures of a search by file name, in the order shown, and what they show."""
_MAX_BYTES = 400_000  # of a picture; ours have a tenth of it

_COST = schema.fields(
    allowed={"steps": schema.whole(), "evaluations": schema.whole(), "seconds": schema.number()}
)
_RECORD = schema.fields({"config": schema.fields(allowed={"strategy": schema.text})})
_RESULTS = schema.fields(
    allowed={
        "doubts": schema.list_of(schema.text),
        "doubt": schema.optional(schema.text),  # of earlier records
        "cost": schema.fields(
            allowed={
                "steps": schema.whole(),
                "evaluations": schema.whole(),
                "seconds": schema.number(),
            }
        ),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHistory:
    """A search as a report shows it."""

    folder: str
    """The run folder."""
    summary: str
    """Strategy and cost, in a sentence."""
    doubts: tuple[str, ...]
    """What speaks against its decision, in its own words."""
    figures: tuple[tuple[str, str, bytes], ...]
    """Its pictures: what each shows, "svg+xml" or "png", and the file's content."""


def search_history(folder: Path) -> SearchHistory:
    """Read what a search says of itself, and its pictures.

    Raises:
        UsageError: If the folder holds no run.
        FileError: If its record is damaged.
    """
    record = load_record(folder)
    with reading_record(folder, "a record of a search"):
        _RECORD(record, "")
        _RESULTS(record["results"], "results")
    results, cost = record["results"], record["results"].get("cost", {})
    parts = [f"{cost[name]} {name}" for name in ("steps", "evaluations") if cost.get(name)]
    if "seconds" in cost:
        parts.append(f"{cost['seconds'] / 60:.1f} minutes")
    doubt = results.get("doubt")
    return SearchHistory(
        folder=str(folder),
        summary=f"Searched by {record['config'].get('strategy', 'darts')}"
        + (f": {', '.join(parts)}." if parts else "."),
        doubts=(*results.get("doubts", ()), *([doubt] if doubt else ())),
        figures=tuple(_figures(folder / "figures")),
    )


def _figures(folder: Path) -> Iterable[tuple[str, str, bytes]]:
    for name, meaning in _FIGURES.items():
        for suffix, kind in ((".svg", "svg+xml"), (".png", "png")):
            path = folder / f"{name}{suffix}"
            if path.is_file() and path.stat().st_size <= _MAX_BYTES:
                yield meaning, kind, path.read_bytes()
                break
