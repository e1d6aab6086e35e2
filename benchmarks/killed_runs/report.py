"""Kills as rows, and as a table that says what they prove."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autoseg.atomic import atomic_write
from autoseg.reporting.tables import Column, to_markdown
from killed_runs.jobs import Job

NAME = "kill_and_resume"
_COLUMNS = (
    Column(key="job", heading="Job"),
    Column(key="command", heading="Command, without what makes it small"),
    Column(key="kills", heading="Kills", kind="exact"),
    Column(key="in_saves", heading="Inside a save", kind="exact"),
    Column(key="before_checkpoint", heading="Before the first checkpoint", kind="exact"),
    Column(key="equal", heading="Ends bit for bit equal", kind="exact"),
    Column(key="irregular", heading="Steps missing or repeated in logs", kind="exact"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class KillRow:
    """One kill, and what became of the run."""

    job: str
    number: int
    """From 0; with the seed it decides the moment."""
    moment: str
    """When it was killed, in words."""
    is_in_save: bool
    """Whether that was inside of a save."""
    checkpoint_step: int | None
    """Step of the newest checkpoint that the killed process left; None: there was none."""
    differing_files: tuple[str, ...]
    """Files that differ from those of the run that was never killed."""
    num_irregular_lines: int
    """Steps that its logs lack or repeat."""

    @property
    def is_equal(self) -> bool:
        """Whether the end is that of the run that was never killed."""
        return not self.differing_files and not self.num_irregular_lines


def load_rows(folder: Path, jobs: Mapping[str, Job], *, seed: int) -> list[KillRow]:
    """Read the rows that earlier calls have written of jobs that are still the same."""
    path = folder / f"{NAME}.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    known, present = content["settings"], _settings(jobs, seed)
    if known["seed"] != seed:
        return []
    rows = [{**row, "differing_files": tuple(row["differing_files"])} for row in content["rows"]]
    return [
        KillRow(**row)
        for row in rows
        if row["job"] in jobs and known["jobs"][row["job"]] == present["jobs"][row["job"]]
    ]


def write_rows(
    folder: Path,
    rows: Sequence[KillRow],
    jobs: Mapping[str, Job],
    *,
    seed: int,
    calls: Sequence[Mapping[str, Any]],
) -> None:
    """Write the record and the table of all rows so far, in the order of the jobs.

    Args:
        folder: Where; made if missing.
        rows: The rows.
        jobs: All jobs.
        seed: What has drawn the moments.
        calls: The calls that made the rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = list(jobs)
    rows = sorted(rows, key=lambda row: (order.index(row.job), row.number))
    content = {
        "settings": _settings(jobs, seed),
        "calls": list(calls),
        "rows": [asdict(row) for row in rows],
    }
    atomic_write(folder / f"{NAME}.json", (json.dumps(content, indent=2) + "\n").encode())
    atomic_write(folder / f"{NAME}.md", _markdown(rows, jobs, calls).encode())


def _settings(jobs: Mapping[str, Job], seed: int) -> dict[str, Any]:
    """Return what decides the rows, as JSON reads it back."""
    return {
        "seed": seed,
        "jobs": {
            name: {
                "module": job.module,
                "arguments": list(job.arguments),
                "again": list(job.again),
                "prepared_by": job.prepared_by,
            }
            for name, job in jobs.items()
        },
    }


def _markdown(
    rows: Sequence[KillRow], jobs: Mapping[str, Job], calls: Sequence[Mapping[str, Any]]
) -> str:
    summary = [_summary(jobs[job], rows) for job in dict.fromkeys(row.job for row in rows)]
    moments = [_line(row) for row in rows]
    made = [f"Made by `{call['command']}` on {call['date']}." for call in calls]
    equal = sum(row.is_equal for row in rows)
    return "\n".join(
        [
            "# Runs that were killed and gone on with",
            "",
            f"{equal} of {len(rows)} runs that were killed (SIGKILL) and then gone on with end as "
            "the run that was never killed, on the CPU with one thread: weights, checkpoints and "
            "architectures bit for bit, every line of their logs and every finished trial, but for "
            "times of day and of work and the number of lines of a journal. A moment is drawn by "
            "a seed: after a share of the run's processor time, or inside a save, while a file is "
            "half written, whole but not yet under its name, or a line of a log half written, or "
            "before or after a database's commit. Every strategy, estimator and pruner is a job.",
            "",
            to_markdown(summary, _COLUMNS),
            "",
            "## Every kill",
            "",
            "| Job | Killed | Newest checkpoint (step) | Equal |",
            "| :-- | :-- | --: | :-- |",
            *moments,
            "",
            *made,
            "",
        ]
    )


def _line(row: KillRow) -> str:
    step = "none" if row.checkpoint_step is None else row.checkpoint_step
    equal = "yes" if row.is_equal else f"NO: {', '.join(row.differing_files)}"
    return f"| {row.job} | {row.moment} | {step} | {equal} |"


def _summary(job: Job, rows: Sequence[KillRow]) -> dict[str, Any]:
    mine = [row for row in rows if row.job == job.name]
    return {
        "job": job.name,
        "command": " ".join([job.module.removeprefix("autoseg."), *job.words]),
        "kills": len(mine),
        "in_saves": sum(row.is_in_save for row in mine),
        "before_checkpoint": sum(row.checkpoint_step is None for row in mine),
        "equal": sum(row.is_equal for row in mine),
        "irregular": sum(row.num_irregular_lines for row in mine),
    }
