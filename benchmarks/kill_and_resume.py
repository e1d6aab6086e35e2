"""Kill runs at moments drawn by a seed, go on: `python benchmarks/kill_and_resume.py --help`.

Each run has to end as the one that was never killed, bit for bit.
"""

import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earlier_calls import calls_so_far
from killed_runs.jobs import RUN, Job, jobs, prepare
from killed_runs.outcomes import differences, num_irregular_lines, outcome
from killed_runs.processes import LINE, WRITTEN, Ended, Event, Kill, events_of, run_process
from killed_runs.report import NAME, KillRow, load_rows, write_rows

from autoseg.cli import FAILED, OK, read_request, run_command
from autoseg.errors import UsageError
from autoseg.runs import Progress, load_record

SCRIPT = "benchmarks/kill_and_resume.py"
PROG = f"python {SCRIPT}"


@dataclass(frozen=True, kw_only=True, slots=True)
class KillRequest:
    """What a user can say to `python benchmarks/kill_and_resume.py`."""

    jobs: tuple[str, ...] = tuple(jobs())
    """What is killed: strategies, estimators and pruners by name, perturbation (darts with that
    selection), storage (trials in a database), retraining, tuning."""
    num_kills: int = 4
    """Runs of each job that are killed once; every other one inside a save."""
    seed: int = 0
    """Decides the moments."""
    out: Path = Path("results/kill_and_resume")
    """Folder of table and record, written anew after every run; runs that are in the record of the
    same job and seed are not done again."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.jobs if name not in jobs()]
        if unknown:
            raise UsageError(f"unknown job {unknown[0]!r}; known: {', '.join(jobs())}.")
        if self.num_kills < 1:
            raise UsageError(f"--num-kills is {self.num_kills}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A job that was never killed."""

    folder: Path
    """Where it ran, and what those that it prepares start from."""
    outcome: dict[str, Any]
    """All that it left, as values that must be equal."""
    events: list[Event]
    """Moments inside its saves."""
    ended: Ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 if all ends are equal."""
    command = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        KillRequest,
        command,
        prog=PROG,
        description="Kill runs at drawn moments, go on, and compare with runs never killed.",
        example=f"{PROG} --jobs darts storage --num-kills 2 --out kills",
    )
    rows = load_rows(request.out, jobs(), seed=request.seed)
    record = request.out / f"{NAME}.json" if rows else None
    calls = calls_so_far(record, ["python", SCRIPT, *command])
    wanted = [(name, number) for name in request.jobs for number in range(request.num_kills)]
    done = {(row.job, row.number) for row in rows}
    missing = [each for each in wanted if each not in done]
    with (
        tempfile.TemporaryDirectory() as place,
        Progress(len(wanted), description="kills", initial=len(wanted) - len(missing)) as progress,
    ):
        references: dict[str, Reference] = {}
        for name, number in missing:
            job = jobs()[name]
            reference = reference_of(job, Path(place), references)
            rows.append(kill_once(job, number, reference, references, Path(place), request.seed))
            write_rows(request.out, rows, jobs(), seed=request.seed, calls=calls)
            progress.update()
    unequal = [row for row in rows if not row.is_equal]
    for row in unequal:
        print(f"{row.job}, killed {row.moment}: {', '.join(row.differing_files)} differ")
    print(
        f"saved {request.out}/kill_and_resume.md: {len(rows) - len(unequal)} of {len(rows)} equal"
    )
    return FAILED if unequal else OK


def reference_of(job: Job, place: Path, references: dict[str, Reference]) -> Reference:
    """Return the job that was never killed; run it if it has not been."""
    if job.name not in references:
        folder = start_folder(job, place / f"{job.name}-reference", references, place)
        log = place / f"{job.name}.log"
        ended = run_process(job.module, job.arguments, folder=folder, log=log)
        require_success(ended, log)
        references[job.name] = Reference(
            folder=folder, outcome=outcome(folder), events=events_of(log), ended=ended
        )
    return references[job.name]


def start_folder(job: Job, folder: Path, references: dict[str, Reference], place: Path) -> Path:
    """Make the folder that a job starts in."""
    if job.prepared_by is not None:
        source = reference_of(jobs()[job.prepared_by], place, references)
        shutil.copytree(source.folder, folder)
    else:
        folder.mkdir()
        prepare(folder)
    return folder


def kill_once(
    job: Job,
    number: int,
    reference: Reference,
    references: dict[str, Reference],
    place: Path,
    seed: int,
) -> KillRow:
    """Start a job, kill it, go on to its end, and compare."""
    folder, log = place / f"{job.name}-{number}", place / f"{job.name}-{number}.log"
    kill, moment = draw_kill(random.Random(f"{seed} {job.name} {number}"), number, reference)
    while True:  # a quick run may end before its time has come
        start_folder(job, folder, references, place)
        if run_process(job.module, job.arguments, folder=folder, log=log, kill=kill).code == -9:
            break
        shutil.rmtree(folder)
        assert kill.cpu_seconds is not None
        earlier_s = 0.8 * kill.cpu_seconds
        kill = Kill(cpu_seconds=earlier_s)
        moment = in_words(earlier_s / reference.ended.cpu_seconds)
    step = newest_step(folder / RUN)
    has_record = (folder / RUN / "run.json").exists()
    if job.prepared_by is not None or not has_record or not is_finished(folder / RUN):
        again = job.again if has_record else job.arguments
        require_success(run_process(job.module, again, folder=folder, log=log), log)
    row = KillRow(
        job=job.name,
        number=number,
        moment=moment,
        is_in_save=kill.event is not None,
        checkpoint_step=step,
        differing_files=tuple(differences(reference.outcome, outcome(folder))),
        num_irregular_lines=num_irregular_lines(folder, reference.outcome),
    )
    shutil.rmtree(folder)
    return row


def draw_kill(draw: random.Random, number: int, reference: Reference) -> tuple[Kill, str]:
    """Draw a moment: of even numbers by the work done, of odd ones inside a save."""
    share = draw.random()
    if number % 2 == 0:
        kill = Kill(cpu_seconds=share * reference.ended.cpu_seconds)
        return kill, in_words(share)
    # Every file as often, and pictures, of which there are many, as one: else they are nearly all.
    drawn = draw.choice(sorted({drawn_as(event.file) for event in reference.events}))
    place = draw.choice(
        [place for place, event in enumerate(reference.events) if drawn_as(event.file) == drawn]
    )
    kind, file = reference.events[place].kind, reference.events[place].file
    places = [place for place, event in enumerate(reference.events) if event.file == file]
    cut = f" ({share:.0%})" if kind in (WRITTEN, LINE) else ""
    which = places.index(place) + 1
    moment = f"{file} {kind}{cut}, moment {which} of {len(places)} of this file"
    return Kill(event=place, share=share), moment


def drawn_as(file: str) -> str:
    """Return under which name a file takes part in the draw."""
    return "picture" if file.endswith((".png", ".svg")) else file


def in_words(share: float) -> str:
    """Say at which share of its work a run is killed."""
    return f"after {share:.0%} of its work"


def is_finished(folder: Path) -> bool:
    """Tell whether a run was over when it was killed: then there is nothing to go on with."""
    return load_record(folder)["state"] == "finished"


def newest_step(folder: Path) -> int | None:
    """Return the step of the newest checkpoint in a folder and those below."""
    steps = [int(path.stem.split("-")[1]) for path in folder.rglob("checkpoint-*.pt")]
    return max(steps, default=None)


def require_success(ended: Ended, log: Path) -> None:
    """Stop where a run that nothing kills does not end well."""
    if ended.code != 0:
        raise RuntimeError(f"exit code {ended.code}; its output ended: {log.read_text()[-2000:]}")


if __name__ == "__main__":
    run_command(main)
