"""Search a segmentation architecture: `python -m autoseg.search --help`."""

import sys
from collections.abc import Sequence

from autoseg.cli import INTERRUPTED, OK, read_request, run_command
from autoseg.cli.console import print_link
from autoseg.config import SEARCH_PRESETS
from autoseg.requests import SearchRequest

PROG = "python -m autoseg.search"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        SearchRequest,
        argv,
        prog=PROG,
        description=(
            "Search a segmentation architecture on your images: a supernet that holds all networks "
            "of a space is trained, and the strongest cell and path are decoded, or architectures "
            "are drawn and scored (--strategy). The result is a run folder with "
            "architecture.json, pictures of cell and path, and all that resuming needs; `python -m "
            "autoseg.retrain` takes it from there."
        ),
        example=(
            f"{PROG} --space autodeeplab\n"
            f"{PROG} --dataset camvid --data-root ~/camvid --preset paper --device cuda\n"
            f"{PROG} --strategy random --budget 10m\n"
            f"{PROG} --resume"
        ),
        presets=SEARCH_PRESETS,
        takes_imports=True,
    )
    from autoseg.commands.next_steps import after_search, go_on  # late: torch
    from autoseg.commands.search import run_search

    arguments = list(sys.argv[1:] if argv is None else argv)
    folder, result = run_search(request, command=[*PROG.split(), *arguments])
    from autoseg.commands.runs_index import pictures_of, refresh_index  # later: matplotlib

    refresh_index()
    pictures = pictures_of(folder)[:1]
    if not result.is_finished:
        for picture in pictures:
            print_link(picture)
        print(
            f"stopped at {result.round_name} {result.rounds}, saved. "
            f"Go on: {go_on(PROG, request, folder)}"
        )
        return INTERRUPTED
    print(result.architecture)
    print(result.report.text)
    print(f"saved {folder}/architecture.json, pictures in {folder}/figures")
    for picture in pictures:
        print_link(picture)
    print(f"next: {after_search(request, folder)}")
    return OK


if __name__ == "__main__":
    run_command(main, joins_processes=True)
