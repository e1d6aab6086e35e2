"""Retrain networks from scratch with one recipe: `python -m autoseg.retrain --help`."""

import sys
from collections.abc import Sequence

from autoseg.cli import FAILED, INTERRUPTED, OK, read_request, run_command
from autoseg.cli.console import print_link
from autoseg.config import RETRAIN_PRESETS
from autoseg.requests import RetrainRequest

PROG = "python -m autoseg.retrain"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        RetrainRequest,
        argv,
        prog=PROG,
        description=(
            "Train networks from scratch, one after the other, with one recipe: what a search has "
            "found beside the fixed networks that you would otherwise use. Each gets a run folder "
            "with its best and last weights, or one for each seed in --seeds; "
            "`python -m autoseg.compare` compares them."
        ),
        example=(
            f"{PROG}\n"
            f"{PROG} --architecture runs/NAME/architecture.json --dataset camvid\n"
            f"{PROG} --network icnet_resnet50 deeplabv3plus_resnet101 --num-steps 20000\n"
            f"{PROG} --network unet segnet_basic --seeds 0 1 2\n"
            f"{PROG} --network unet --budget 10m\n"
            f"{PROG} --network unet --overfit 2\n"
            f"{PROG} --resume"
        ),
        presets=RETRAIN_PRESETS,
        takes_imports=True,
    )
    from autoseg.commands.next_steps import after_retraining, go_on  # late: torch
    from autoseg.commands.retrain import run_retrain

    arguments = list(sys.argv[1:] if argv is None else argv)
    folder, result = run_retrain(request, command=[*PROG.split(), *arguments])
    from autoseg.commands.runs_index import pictures_of, refresh_index  # later still: pandas

    refresh_index()
    score = "val mIoU" if result.note is None else "training mIoU"
    for name, trained in result.finished.items():
        print(f"{name}: {trained.best_as(score)}")
        if trained.doubt is not None:
            print(f"{name}: doubtful: {trained.doubt}")
    for name, message in result.failed.items():
        print(f"{name}: failed: {message}")
    for label, scores in result.over_seeds.items():
        print(f"{label}: {score} {scores}")
    if not result.is_finished:
        for picture in pictures_of(folder)[:1]:
            print_link(picture)
        print(f"stopped, saved. Go on: {go_on(PROG, request, folder)}")
        return INTERRUPTED
    print(f"saved {folder}, curves in {folder}/figures/training.png")
    print_link(folder / "figures/training.png")
    print(f"this is {result.note}" if result.note else f"next: {after_retraining(request, folder)}")
    return FAILED if result.failed else OK


if __name__ == "__main__":
    run_command(main, joins_processes=True)
