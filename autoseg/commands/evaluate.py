"""Score a retrained network on a split."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.commands.border_choice import chosen_borders
from autoseg.config.crf import CRF_FIELDS
from autoseg.data import SegmentationDataset
from autoseg.distributed import is_first_process, own_indices, sum_over_processes
from autoseg.errors import UsageError
from autoseg.evaluation import evaluate
from autoseg.metrics import BorderScore, Calibration, ConfusionMatrix, worst_confusions
from autoseg.requests import EvaluateRequest
from autoseg.runs import Progress, Run
from autoseg.trained import RetrainedNetwork
from autoseg.tuning import choose_crf_behind

_NUM_CONFUSIONS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What an evaluation found, ready to print and to store."""

    folder: Path
    """The run that was scored."""
    table: pd.DataFrame
    """IoU by class, with and without CRF."""
    summary: dict[str, Any]
    """Averages and protocol."""
    borders: dict[str, tuple[float | None, ...]]
    """Scores of borders by heading: the network's own and, if there is a CRF, that after it."""
    diagnosis: tuple[str, ...]
    """What was asked of calibration and confusions, a line each."""


def run_evaluate(request: EvaluateRequest) -> Scores:
    """Score a run's network and store nothing: scores are shown before what can fail."""
    if not request.crf:
        request.refuse(CRF_FIELDS, "no CRF is scored; add --crf, or leave it out.")
    device = resolve_device(request.device)
    trained = RetrainedNetwork.open(request.run)
    if not os.access(trained.folder, os.W_OK):
        announce(f"{trained.folder} cannot be written: the scores will be printed, and not saved.")
    network = trained.network(request.weights).to(device)
    dataset = trained.dataset(request.split, data_root=request.data_root)
    chosen = None
    if request.crf:
        chosen = choose_crf_behind(trained, request, weights=request.weights)
    if chosen is not None:
        for note in chosen.notes:
            announce(note)
        if chosen.tuned_on == request.split:
            announce(f"CRF: tuned on {request.split}, which its score there is optimistic about.")
    crf = chosen.parameters.build().to(device) if chosen is not None else None
    scales = tuple(scale * trained.image_scale for scale in request.scales)
    new_borders = chosen_borders(request)
    borders = [
        new_borders(dataset.num_classes, dataset.ignore_index)
        for _ in range(1 if crf is None else 2)
    ]
    calibrations = [Calibration(dataset.ignore_index) for _ in borders]

    def on_confidence(target: Tensor, *pairs: tuple[Tensor, Tensor]) -> None:
        for calibration, pair in zip(calibrations, pairs, strict=True):
            calibration.update(*pair, target)

    def on_prediction(_: int, target: Tensor, *preds: Tensor) -> None:
        for scores, pred in zip(borders, preds, strict=True):
            for score in scores:
                score.update(pred, target)

    num_own = len(own_indices(range(len(dataset))))
    with Progress(num_own, description=f"evaluate {request.split}", unit="image") as progress:
        result = evaluate(
            network,
            dataset,
            device=device,
            crf=crf,
            scales=scales,
            flip=request.flip,
            on_image=lambda *_: progress.update(),
            on_prediction=on_prediction,
            on_confidence=on_confidence if request.calibration else None,
        )
    for score in (*(score for scores in borders for score in scores), *calibrations):
        score.add_up(sum_over_processes)
    if not request.calibration:
        calibrations = []
    summary = {
        "dataset": dataset.name,
        "split": request.split,
        "weights": request.weights,
        "scales": list(scales),
        "flip": request.flip,
        "num_images": result.num_images,
        **_averages(result.plain, borders[0]),
        **_calibrated(calibrations[0] if calibrations else None),
    }
    columns = _columns(result.plain, borders[0])
    if result.with_crf is not None and chosen is not None:
        summary["crf"] = {**chosen.record(), **_averages(result.with_crf, borders[1])}
        summary["crf"] |= _calibrated(calibrations[1] if calibrations else None)
        summary["crf"]["text"] = chosen.text
        summary["crf"]["mean_iou_change"] = summary["crf"]["mean_iou"] - summary["mean_iou"]
        with_crf = _columns(result.with_crf, borders[1])
        columns |= {f"{heading} with CRF": values for heading, values in with_crf.items()}
    return Scores(
        folder=trained.folder,
        table=_table(dataset, columns),
        summary=summary,
        borders={
            first.heading: tuple(score.mean() for score in scores)
            for first, *scores in zip(borders[0], *borders, strict=True)
        },
        diagnosis=(
            *_calibration_lines(calibrations),
            *(_confusion_lines(result.plain, dataset) if request.confusions else ()),
        ),
    )


def _calibrated(calibration: Calibration | None) -> dict[str, float]:
    """Return the expected calibration error, where it was asked for."""
    return {} if calibration is None else {"calibration_error": calibration.result().error}


def _calibration_lines(calibrations: Sequence[Calibration]) -> Iterator[str]:
    for calibration, whose in zip(calibrations, ("", " with CRF"), strict=False):
        result = calibration.result()
        yield (
            f"calibration{whose}: expected error {result.error:.4f}; on average "
            f"{result.confidence:.4f} sure and {result.accuracy:.4f} right"
        )


def _confusion_lines(confusion: ConfusionMatrix, dataset: SegmentationDataset) -> Iterator[str]:
    names = dataset.class_names
    for pair in worst_confusions(confusion.counts.cpu().numpy(), limit=_NUM_CONFUSIONS):
        true, taken_for = names[pair.true], names[pair.predicted]
        yield f"{true} is taken for {taken_for}: {100 * pair.share:.1f} % of its pixels"


def save_scores(scores: Scores, *, command: Sequence[str]) -> None:
    """Store what `run_evaluate` found in the run's record, under the split's name.

    Raises:
        RuntimeError: If the folder is in use or cannot be written; says that the scores are lost
            but for what was shown.
    """
    if not is_first_process():
        return
    name = f"evaluation_{scores.summary['split']}"
    try:
        with Run.annotate(scores.folder) as run:
            run.update(results={name: {**scores.summary, "command": list(command)}})
    except (UsageError, OSError) as error:
        raise RuntimeError(f"the scores above were not saved: {error}") from error


def _columns(confusion: ConfusionMatrix, borders: Sequence[BorderScore]) -> dict[str, list[float]]:
    scores = {score.heading: score.by_class().tolist() for score in borders}
    return {"IoU": confusion.iou().tolist(), **scores}


def _averages(confusion: ConfusionMatrix, borders: Sequence[BorderScore]) -> dict[str, Any]:
    return {
        "mean_iou": confusion.mean_iou(),
        "num_averaged": confusion.num_averaged,
        "mean_accuracy": confusion.mean_accuracy(),
        "pixel_accuracy": confusion.pixel_accuracy(),
        "frequency_weighted_iou": confusion.frequency_weighted_iou(),
        **{score.key: score.mean() for score in borders},
    }


def _table(dataset: SegmentationDataset, columns: Mapping[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index(dataset.class_names, name="class"))
