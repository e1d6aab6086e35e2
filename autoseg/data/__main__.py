"""Look at a dataset before training on it: `python -m autoseg.data --help`."""

from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.requests import DataRequest

PROG = "python -m autoseg.data"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        DataRequest,
        argv,
        prog=PROG,
        description=(
            "Show a dataset's card: splits, sizes, shares of the classes, copies, and every file "
            "that training would fail on (exit code 1), with a contact sheet. `init DIR` writes a "
            "dataset.toml for a folder of images and masks, which names its classes."
        ),
        example=f"{PROG} my_images\n{PROG} init my_images\n{PROG} camvid --data-root CamVid",
        positional=("what",),
    )
    from autoseg.commands.data import run_data  # late: torch

    return OK if run_data(request) else 1


if __name__ == "__main__":
    run_command(main)
