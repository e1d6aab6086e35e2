"""Count what a network costs: `python -m autoseg.cost --help`."""

import sys
from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.requests import CostRequest

PROG = "python -m autoseg.cost"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        CostRequest,
        _with_imports(sys.argv[1:] if argv is None else argv),
        prog=PROG,
        description=(
            "Count parameters and multiply-accumulates (MACs) of any torch module, with the counts "
            "of torch, fvcore and thop beside it and a reason for each difference. The module maps "
            "images (N, C, H, W) to anything; C is what its first convolution takes."
        ),
        example=(
            f"{PROG} my_models.py:MyNetwork --size 360 480\n"
            f"{PROG} my_package.models:build_network\n"
            f"{PROG} deeplabv3plus_resnet50 --size 1024 2048"
        ),
        positional=("network",),
        takes_imports=True,
    )
    from autoseg.commands.cost import run_cost  # late: torch

    print(run_cost(request))
    return OK


def _with_imports(argv: Sequence[str]) -> list[str]:
    """Split FILE.py:NAME into what is imported, which the command line alone may say, and NAME."""
    words: list[str] = []
    for word in argv:
        place, colon, name = word.rpartition(":")
        is_place = place and name.isidentifier() and not word.startswith("-")
        words += ["--import", place, name] if colon and is_place else [word]
    return words


if __name__ == "__main__":
    run_command(main)
