"""Tune what stands behind a retrained network: `python -m autoseg.tune --help`."""

import shlex
import sys
from collections.abc import Sequence

from autoseg.cli import INTERRUPTED, OK, read_request, run_command
from autoseg.cli.console import print_link
from autoseg.requests import TuneRequest

PROG = "python -m autoseg.tune"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        TuneRequest,
        argv,
        prog=PROG,
        description=(
            "Choose the dense CRF's parameters for a retrained network: by mIoU on some train or "
            "val images, with stock parameters and no CRF at all among the candidates. The run "
            "folder gets crf.json, which evaluate, predict and compare take from then on, and "
            "a figure. The same command goes on after Ctrl-C or a kill."
        ),
        example=(
            f"{PROG} crf runs/NAME/searched\n"
            f"{PROG} crf runs/NAME/searched --split val --num-images 50 --num-trials 200"
        ),
        positional=("what", "run"),
        takes_imports=True,
    )
    from autoseg.commands.next_steps import after_tuning  # late: torch
    from autoseg.commands.runs_index import refresh_index
    from autoseg.commands.tune import run_tune, table_of

    arguments = list(sys.argv[1:] if argv is None else argv)
    command = [*PROG.split(), *arguments]
    tuned = run_tune(
        request,
        command=command,
        show=lambda found: print(f"{table_of(found)}\n{found.verdict}", flush=True),
    )
    if tuned is None:
        print(f"stopped before a trial was scored. Again: {shlex.join(command)}")
        return INTERRUPTED
    path, result = tuned
    refresh_index()
    print(f"saved {path}, picture in {path.parent}/figures")
    print_link(path.parent / "figures/crf_tuning.png")
    if not result.is_finished:
        print(
            f"stopped after {len(result.trials)} of {result.num_trials_asked} trials, saved. "
            f"Go on with the same command: {shlex.join(command)}"
        )
        return INTERRUPTED
    print(f"next: {after_tuning(request, path.parent)}")
    return OK


if __name__ == "__main__":
    run_command(main)
