"""Refine labels or probabilities by the dense CRF: `python -m autoseg.crf --help`."""

from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.cli.console import print_link
from autoseg.requests import CRFRequest

PROG = "python -m autoseg.crf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        CRFRequest,
        argv,
        prog=PROG,
        description=(
            "Refine a segmentation of an image by the dense CRF; no network and no run is needed. "
            "The segmentation is a PNG of class numbers, or an array of probabilities or logits "
            "(K, H, W). Two folders are paired by file name. Written are NAME.png with the refined "
            "class numbers and NAME_picture.png, before and after."
        ),
        example=(
            f"{PROG} photo.jpg labels.png --out refined\n"
            f"{PROG} photo.jpg probabilities.npy --save-marginals\n"
            f"{PROG} photos/ logits/ --logits --bilateral-weight 10 --bilateral-xy-std 80 "
            "--bilateral-rgb-std 13"
        ),
        positional=("image", "segmentation"),
    )
    from autoseg.commands.refine import run_crf  # late: torch

    for line in run_crf(request):
        print(line)
    print_link(request.out)
    return OK


if __name__ == "__main__":
    run_command(main)
