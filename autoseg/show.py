"""Show a run, or list the runs of a folder: `python -m autoseg.show --help`."""

import sys
from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.requests import ShowRequest

PROG = "python -m autoseg.show"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        ShowRequest,
        argv,
        prog=PROG,
        description=(
            "Show what a run is, in the terminal: its state, what it was made with, its scores, "
            "its architecture and its files, its curves drawn in text, and the runs below it; of a "
            "folder that is no run, the runs in it. Nothing is written."
        ),
        example=f"{PROG}\n{PROG} runs/NAME",
        positional=("run",),
    )
    from autoseg.commands.show import describe, shows_blocks  # late: torch

    print(describe(request.run, has_blocks=shows_blocks(sys.stdout.encoding)))
    return OK


if __name__ == "__main__":
    run_command(main)
