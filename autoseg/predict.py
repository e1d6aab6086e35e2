"""Segment your own images with a retrained network: `python -m autoseg.predict --help`."""

import sys
from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.cli.console import print_link
from autoseg.foreign_text import printable
from autoseg.requests import PredictRequest

PROG = "python -m autoseg.predict"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        PredictRequest,
        argv,
        prog=PROG,
        description=(
            "Segment images with a retrained network. For each image a PNG is written whose pixel "
            "values are the class numbers, shown in the dataset's colours; classes.txt names them."
        ),
        example=(
            f"{PROG} runs/NAME/searched photo.jpg --out predictions --overlay\n"
            f"{PROG} runs/NAME/icnet_resnet50 my_images/ --crf"
        ),
        positional=("run", "images"),
        takes_imports=True,
    )
    from autoseg.commands.predict import run_predict  # late: torch

    for path in run_predict(request):
        print(printable(str(path)))
    print_link(request.out, stream=sys.stderr)  # standard output has the files alone
    return OK


if __name__ == "__main__":
    run_command(main)
