"""Search a segmentation architecture: `python -m autoseg.search --help`."""

import sys
from collections.abc import Sequence

from autoseg.cli import INTERRUPTED, OK, read_fields, run_command
from autoseg.jobs.search_job import SearchRequest, run_search

PROG = "python -m autoseg.search"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = read_fields(
        SearchRequest,
        argv,
        prog=PROG,
        description=(
            "Search a segmentation architecture on your images: a supernet that holds all networks "
            "of a space is trained, and the strongest cell and path are decoded. The result is a "
            "run folder with architecture.json, pictures of cell and trellis, and all that "
            "resuming needs; `python -m autoseg.retrain` takes it from there."
        ),
        example=(
            f"{PROG} --space autodeeplab\n"
            f"{PROG} --dataset camvid --data-root ~/camvid --preset paper --device cuda\n"
            f"{PROG} --resume"
        ),
    )
    arguments = list(sys.argv[1:] if argv is None else argv)
    folder, result = run_search(given, command=[*PROG.split(), *arguments])
    if not result.is_finished:
        print(f"stopped at epoch {result.epoch}, saved. Go on: {PROG} --resume --out {folder}")
        return INTERRUPTED
    print(result.architecture)
    print(f"saved {folder}/architecture.json, pictures in {folder}/figures")
    print("next: python -m autoseg.retrain")
    return OK


if __name__ == "__main__":
    run_command(main)
