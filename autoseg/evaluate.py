"""Score a retrained network on a split: `python -m autoseg.evaluate --help`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoseg.cli import OK, read_request, run_command
from autoseg.requests import EvaluateRequest

if TYPE_CHECKING:
    from autoseg.commands.evaluate import Scores

PROG = "python -m autoseg.evaluate"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        EvaluateRequest,
        argv,
        prog=PROG,
        description=(
            "Score a retrained network: IoU by class, mean IoU, mean and pixel accuracy, from one "
            "confusion matrix over the whole split at the labels' own resolution; with --crf, "
            "before and after the dense CRF; with --trimap, --boundary-iou or --surface-tolerance, "
            "at borders. The result is printed and added to the run's run.json."
        ),
        example=(
            f"{PROG} runs/NAME/deeplabv3plus_resnet101\n"
            f"{PROG} runs/NAME/searched --split test --scales 0.75 1 1.25 --flip --crf\n"
            f"{PROG} runs/NAME/searched --trimap 2 4 8 --boundary-iou --surface-tolerance 2"
        ),
        positional=("run",),
        takes_imports=True,
    )
    from autoseg.commands.evaluate import run_evaluate, save_scores  # late: torch
    from autoseg.commands.runs_index import refresh_index

    arguments = list(sys.argv[1:] if argv is None else argv)
    scores = run_evaluate(request)
    _print(scores)
    save_scores(scores, command=[*PROG.split(), *arguments])
    refresh_index()
    return OK


def _print(scores: "Scores") -> None:
    print(scores.table.to_string(float_format="{:.4f}".format, na_rep="absent"))
    summary = scores.summary
    print(
        f"{summary['dataset']} {summary['split']}, {summary['num_images']} images: "
        f"mIoU {summary['mean_iou']:.4f} over {summary['num_averaged']} classes, "
        f"mean accuracy {summary['mean_accuracy']:.4f}, "
        f"pixel accuracy {summary['pixel_accuracy']:.4f}, "
        f"IoU by frequency {summary['frequency_weighted_iou']:.4f}"
    )
    if "crf" in summary:
        crf = summary["crf"]
        print(
            f"with CRF: mIoU {crf['mean_iou']:.4f} ({crf['mean_iou_change']:+z.4f}), "
            f"mean accuracy {crf['mean_accuracy']:.4f}, pixel accuracy {crf['pixel_accuracy']:.4f}"
        )
        print(f"CRF: {crf['text']}")
    for heading, values in scores.borders.items():
        texts = ["none" if value is None else f"{value:.4f}" for value in values]
        print(f"{heading}: {', with CRF '.join(texts)}")
    for line in scores.diagnosis:
        print(line)
    sys.stdout.flush()  # saving may fail, and its message comes after the scores


if __name__ == "__main__":
    run_command(main, joins_processes=True)
