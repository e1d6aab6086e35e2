"""Watch the memory and files of one long process: `python benchmarks/soak.py --help`.

Search, evaluate, predict and the CRF run in turn in one process, as in a service or a notebook.
"""

import contextlib
import importlib
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from killed_runs.jobs import SPACE, SPACE_NAME
from matplotlib.figure import Figure
from PIL import Image

from autoseg.atomic import atomic_write
from autoseg.cli import FAILED, OK, read_request, run_command
from autoseg.crf import DenseCRF
from autoseg.errors import UsageError
from autoseg.reporting.figure import BLUE, VERMILLION, hide_spines, new_figure, save_figure
from autoseg.reporting.publishing import published_command
from autoseg.reporting.tables import Column, to_csv, to_markdown
from autoseg.runs import Progress, describe_environment

SCRIPT = "benchmarks/soak.py"
PROG = f"python {SCRIPT}"

_IMAGES = (
    *("--image-size", "64", "72", "--crop-size", "64", "64", "--train-length", "8"),
    *("--batch-size", "2", "--val-images", "2", "--preset", "tiny", "--device", "cpu"),
)
_NETWORK = "unet"
_COLUMNS = (
    Column(key="round", heading="Round", kind="exact"),
    Column(key="minutes", heading="Minutes since the start", kind="number"),
    Column(key="resident_mib", heading="Memory in RAM", kind="number", unit="MiB"),
    Column(key="open_files", heading="Open files", kind="exact"),
    Column(key="threads", heading="Threads", kind="exact"),
)
_MAX_GROWTH = 0.05
"""Memory may grow by this share between the second and the last quarter and still be called flat:
allocators keep what they may need again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoakRequest:
    """What a user can say to `python benchmarks/soak.py`."""

    minutes: float = 60.0
    """How long rounds are begun."""
    out: Path = Path("results/soak")
    """Folder for soak.csv, soak.md, soak.png and soak.svg."""

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise UsageError(f"--minutes is {self.minutes}; it must be above 0.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What the process holds after a round."""

    minutes: float
    """Since the start."""
    resident_mib: float
    """Memory of the process that is in RAM."""
    open_files: int
    """File handles: files, pipes, sockets."""
    threads: int
    """Python's and native ones."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 if memory and file handles are flat."""
    command = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        SoakRequest,
        command,
        prog=PROG,
        description="Search, evaluate, predict and refine by CRF in one process, for long.",
        example=f"{PROG} --minutes 20",
    )
    if not Path("/proc/self/statm").exists():
        raise UsageError(f"{PROG} reads /proc/self, which Linux alone has.")
    with tempfile.TemporaryDirectory() as place:
        moments = run_rounds(Path(place), request.minutes)
    written, is_flat = write_results(request.out, moments, command)
    print((request.out / "soak.md").read_text(encoding="utf-8"))
    print(f"written: {' '.join(str(path) for path in written)}")
    return OK if is_flat else FAILED


def run_rounds(place: Path, minutes: float) -> list[Moment]:
    """Do one round after the other until the time is over; at least eight."""
    start = time.monotonic()
    moments: list[Moment] = []
    with Progress(math.ceil(minutes), description="soak", unit="minute") as progress:
        with contextlib.chdir(place), silent(place / "log"):
            prepare(place)
        while len(moments) < 8 or time.monotonic() - start < 60 * minutes:
            with contextlib.chdir(place), silent(place / "log"):
                one_round(place)
            moments.append(moment(time.monotonic() - start))
            done = min(progress.total, int(moments[-1].minutes))
            progress.update(done - progress.num_done, rounds=len(moments))
    return moments


def prepare(place: Path) -> None:
    """Train the network that every round scores and predicts with, and draw its image."""
    (place / SPACE_NAME).write_text(SPACE)
    network = ("--network", _NETWORK, "--width", "0.0625", "--num-steps", "2")
    run("retrain", *network, *_IMAGES, "--out", "trained")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "image.png")


def one_round(place: Path) -> None:
    """Search; score, predict and refine with a fresh copy of the trained network's run."""
    shutil.copytree(place / "trained", place / "copy")
    trained = f"copy/{_NETWORK}"
    run("search", "--space", SPACE_NAME, "--num-epochs", "2", *_IMAGES, "--out", "s")
    run("evaluate", trained, "--crf", "--device", "cpu")
    run("predict", trained, "image.png", "--out", "p", "--crf", "--device", "cpu")
    logits = torch.randn(1, 5, 64, 72, requires_grad=True)
    images = torch.randint(0, 256, (1, 3, 64, 72), dtype=torch.uint8)
    DenseCRF(num_iterations=5)(logits, images).square().sum().backward()
    for folder in ("copy", "s", "p"):
        shutil.rmtree(place / folder)


def run(command: str, *arguments: str) -> None:
    """Run a command in this process."""
    code = importlib.import_module(f"autoseg.{command}").main(list(arguments))
    if code != OK:
        raise RuntimeError(f"{command} ended with exit code {code}")


@contextlib.contextmanager
def silent(log: Path) -> Iterator[None]:
    """Send what the commands print into a file that is emptied each time."""
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def moment(seconds: float) -> Moment:
    """Measure this process."""
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Moment(
        minutes=seconds / 60,
        resident_mib=resident_pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        open_files=len([*Path("/proc/self/fd").iterdir()]) - 1,  # without the listing's own
        threads=len([*Path("/proc/self/task").iterdir()]),
    )


def growth(values: Sequence[float]) -> float:
    """Return the share by which the median of the last quarter is above that of the second."""
    quarter = len(values) // 4
    before = statistics.median(values[quarter : 2 * quarter])
    return statistics.median(values[-quarter:]) / before - 1


def write_results(
    folder: Path, moments: Sequence[Moment], command: Sequence[str]
) -> tuple[list[Path], bool]:
    """Write table, text and picture; return their paths, and whether all is flat."""
    rows = [{"round": number, **asdict(each)} for number, each in enumerate(moments, start=1)]
    memory, files, threads = (
        growth([row[key] for row in rows]) for key in ("resident_mib", "open_files", "threads")
    )
    is_flat = memory <= _MAX_GROWTH and files <= 0 and threads <= 0
    environment = describe_environment()
    versions = ", ".join(f"{name} {environment['versions'][name]}" for name in ("python", "torch"))
    some = sorted({round(k * (len(rows) - 1) / 10) for k in range(11)})
    text = f"""\
# One process that goes on for long

{len(rows)} rounds in {moments[-1].minutes:.1f} minutes, all in one process, the smallest of each \
kind on the CPU: a search, the scoring and a prediction of a retrained network with the CRF, and \
the CRF with its gradient. From the second quarter of the rounds to the last the median of the \
memory in RAM changed by {memory:+.1%}, of the open files by {files:+.1%}, of the threads by \
{threads:+.1%}. That is {"" if is_flat else "NOT "}flat: memory may grow by {_MAX_GROWTH:.0%}, \
since allocators keep what they may need again, the others not at all.

{to_markdown([rows[k] for k in some], _COLUMNS)}

Every round is in `soak.csv`, and drawn in `soak.png`. Made by \
`{published_command(["python", SCRIPT, *command])}` on \
{datetime.now(UTC).isoformat(timespec="seconds")} at commit {environment["git"]["commit"]}, \
{versions}.
"""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "soak.md", text.encode())
    atomic_write(folder / "soak.csv", to_csv(rows, _COLUMNS).encode())
    pictures = save_figure(draw_soak(moments), folder / "soak")
    return [folder / "soak.md", folder / "soak.csv", *pictures], is_flat


def draw_soak(moments: Sequence[Moment]) -> Figure:
    """Draw memory above, open files and threads below, over the minutes; all from zero."""
    figure = new_figure(7.0, 4.5)
    above, below = figure.subplots(2, 1, sharex=True)
    minutes = [each.minutes for each in moments]
    above.plot(minutes, [each.resident_mib for each in moments], color=BLUE)
    above.set_ylabel("memory in RAM (MiB)", fontsize=9)
    below.plot(minutes, [each.open_files for each in moments], color=BLUE, label="open files")
    below.plot(minutes, [each.threads for each in moments], color=VERMILLION, label="threads")
    below.set_ylabel("number", fontsize=9)
    below.set_xlabel("minutes", fontsize=9)
    below.legend(frameon=False, fontsize=8)
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
        hide_spines(axes, "right", "top")
    return figure


if __name__ == "__main__":
    run_command(main)
