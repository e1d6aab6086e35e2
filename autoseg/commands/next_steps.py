"""The command lines that a command ends with: each does what its line says, as it is typed."""

import shlex
from pathlib import Path

from autoseg.commands.resuming import MAY_DIFFER
from autoseg.config import Request
from autoseg.launch import launch
from autoseg.requests import TuneRequest
from autoseg.runs.folders import RUNS, newest
from autoseg.trained import ARCHITECTURE_NAME, REFERENCES
from autoseg.user_imports import imported


def go_on(prog: str, request: Request, folder: Path) -> str:
    """Write the command that goes on with a stopped run, on the same device and images.

    One that several processes shared goes on with as many, here all on one machine.

    Args:
        prog: The command, for example "python -m autoseg.search".
        request: What was asked for.
        folder: The run folder.
    """
    # A run's record has its settings; what may differ, and the file of the weights, is said again.
    again = {*MAY_DIFFER, "weights"} - {"out", "resume"}
    said = request.words(sorted(request.given & again))
    if not launch().is_alone:
        prog = prog.replace("python", f"torchrun --nproc-per-node {launch().num_processes}")
    return _line(prog, "--resume", "--out", str(folder), *said)


def after_search(request: Request, folder: Path) -> str:
    """Write the command that retrains what a search has found, beside the references."""
    words = ["python -m autoseg.retrain"]
    found = newest("search")
    if found is None or found.resolve() != folder.resolve():
        words += ["--architecture", str(folder / ARCHITECTURE_NAME), "--network", *REFERENCES]
    return _line(*words, *_device(request))


def after_retraining(request: Request, folder: Path) -> str:
    """Write the command that compares what was retrained with all that lies beside it."""
    is_found = folder.resolve().is_relative_to(RUNS.resolve())
    return _line(
        "python -m autoseg.compare", *([] if is_found else [str(folder)]), *_device(request)
    )


def after_tuning(request: TuneRequest, folder: Path) -> str:
    """Write the command that scores a network with the parameters that were tuned for it."""
    said = [name for name in ("weights", "data_root", "device") if name in request.given]
    return _line("python -m autoseg.evaluate", str(folder), "--crf", *request.words(said))


def _device(request: Request) -> list[str]:
    return request.words(["device"]) if "device" in request.given else []


def _line(prog: str, *words: str) -> str:
    imports = [word for each in imported() for word in ("--import", each.word)]
    return shlex.join([*prog.split(), *words, *imports])
