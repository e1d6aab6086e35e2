"""Compare networks by accuracy and cost: `python -m autoseg.compare --help`."""

import sys
from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.cli.console import print_link
from autoseg.requests import CompareRequest

PROG = "python -m autoseg.compare"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        CompareRequest,
        argv,
        prog=PROG,
        description=(
            "Score, count and time retrained networks side by side, with and without the dense "
            "CRF. Writes compare.csv, compare.md, compare.tex, compare.json, compare.png, "
            "compare.svg and report.html, with --receptive-field also compare-fields.png and .svg; "
            "runs that cannot be compared get tables of their own."
        ),
        example=(
            f"{PROG}\n"
            f"{PROG} runs/NAME/searched runs/NAME/icnet_resnet50 --no-crf\n"
            f"{PROG} --networks icnet_resnet50 autodeeplab_paper --dataset camvid"
        ),
        positional=("run",),
        takes_imports=True,
    )
    from autoseg.commands.compare import run_compare, save_comparison, tables_of  # late: torch
    from autoseg.commands.runs_index import refresh_index

    arguments = list(sys.argv[1:] if argv is None else argv)
    comparison = run_compare(request, command=[*PROG.split(), *arguments])
    print(tables_of(comparison))
    sys.stdout.flush()  # writing may fail, and its message comes after the tables
    written = save_comparison(comparison, request.out)
    print("\nwritten: " + " ".join(str(path) for path in written))
    refresh_index(request.runs)
    print_link(written[-1])
    return OK


if __name__ == "__main__":
    run_command(main)
