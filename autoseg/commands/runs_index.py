"""`runs/index.html`: all runs at a glance, written anew as a run begins and as a command ends."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoseg.atomic import atomic_write
from autoseg.cli.console import announce
from autoseg.distributed import is_first_process
from autoseg.reporting.runs_page import GENERATOR, RunEntry, render_runs
from autoseg.runs import Run, load_record
from autoseg.runs.folders import RUNS
from autoseg.runs.record import RECORD_NAME

INDEX_NAME = "index.html"

_PICTURES = (
    *("trellis", "path", "cell", "scores", "front", "paths", "history", "training"),
    *("predictions", "crf_tuning"),
)
"""Names of a run's pictures, the most telling first."""
_MAX_PICTURES = 3
_MAX_ABOUT = 300  # characters


def refresh_index(runs: Path = RUNS, *, tell: Callable[[str], None] = announce) -> Path | None:
    """Write the index of all runs anew.

    Args:
        runs: The folder of the run folders; the index lies in it.
        tell: Takes the reason where it is not written.

    Returns:
        The index; None if there is no run, if an index.html that is not ours lies there, or if it
        cannot be written, which is said and ends no command: its result is safe. Also None in all
        but the first of several processes.
    """
    if not is_first_process():
        return None
    index = runs / INDEX_NAME
    try:
        entries = sorted(_entries(runs), key=lambda entry: entry.started, reverse=True)
        if not entries:
            return None
        if index.exists() and not _is_ours(index):
            tell(f"{index} was not written by autoseg, and stays as it is.")
            return None
        atomic_write(index, render_runs(entries, where=f"{runs}/").encode())
    except OSError as error:
        tell(f"{index} was not written: {error}")
        return None
    return index


@contextmanager
def listed(opened: Run) -> Iterator[Run]:
    """Enter a run, and list it from its begin on; where an error ends it, as what that makes of it.

    A command that ends otherwise writes the index itself, and says there why it cannot.
    """
    try:
        with opened as run:
            refresh_index(tell=_silently)
            yield run
    except BaseException:  # Ctrl-C too; the run has its last state now
        refresh_index(tell=_silently)
        raise


def _silently(_: str) -> None:
    """Leave it to the end of the command to say so."""


def pictures_of(folder: Path) -> list[Path]:
    """List the pictures that a run folder holds, the most telling first."""
    pictures = [folder / "figures" / f"{name}.png" for name in _PICTURES]
    return [picture for picture in pictures if picture.is_file()]


def _is_ours(index: Path) -> bool:
    with index.open("rb") as file:
        return f'content="{GENERATOR}"'.encode() in file.read(2000)


def _entries(runs: Path) -> list[RunEntry]:
    # A run folder lies in `runs/`, or in the folder of a retraining there.
    found = [path for d in (1, 2) for path in runs.glob("/".join(["*"] * d + [RECORD_NAME]))]
    return [_entry(path.parent, runs) for path in found]


def _entry(folder: Path, runs: Path) -> RunEntry:
    """Describe a run; one that cannot be read by the reason."""
    place = folder.relative_to(runs).as_posix()
    pictures = tuple(
        f"{place}/{picture.relative_to(folder).as_posix()}" for picture in pictures_of(folder)
    )[:_MAX_PICTURES]
    with warnings.catch_warnings(action="ignore"):  # a record without a checksum
        try:
            record = load_record(folder)
        except (ValueError, OSError) as error:
            return RunEntry(
                folder=place,
                kind="",
                state="unreadable",
                about=str(error)[:_MAX_ABOUT],
                doubts=(),
                score=None,
                started="",
                pictures=pictures,
            )
    score = record["results"].get("best_val_miou")
    return RunEntry(
        folder=place,
        kind=record["kind"],
        state=record["state"],
        about=_about(record)[:_MAX_ABOUT],
        doubts=_doubts(record["results"]),
        score=score if isinstance(score, float) else None,
        started=record["created"][:16].replace("T", " "),
        pictures=pictures,
    )


def _about(record: Mapping[str, Any]) -> str:
    """Say in a line what a run is about: its network or strategy, and its dataset."""
    config, results = record["config"], record["results"]
    network = config.get("network")
    networks = config.get("networks")
    parts = [
        config.get("strategy"),
        network.get("label") if isinstance(network, Mapping) else None,
        f"{len(networks)} networks" if isinstance(networks, list) else None,
        config.get("dataset"),
        results.get("note"),
    ]
    return ", ".join(part for part in parts if isinstance(part, str) and part)


def _doubts(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a run says against its result: one sentence of a retraining, more of a search."""
    doubts = results.get("doubts")
    told = [results.get("doubt"), *(doubts if isinstance(doubts, list) else ())]
    return tuple(doubt[:_MAX_ABOUT] for doubt in told if isinstance(doubt, str) and doubt)
