"""Choose the dense CRF's parameters for a retrained network, on some of its images."""

import hashlib
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from autoseg.atomic import atomic_write
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.commands.crf_choice import (
    TUNING_FORMAT,
    TUNING_FORMAT_VERSION,
    TUNING_NAME,
    notes_on_network,
)
from autoseg.crf import STOCK, CRFSettings
from autoseg.data import SegmentationDataset, labelled_indices, normalise
from autoseg.errors import UsageError
from autoseg.evaluation import predict_logits
from autoseg.metrics import ConfusionMatrix
from autoseg.reporting.crf_tuning import draw_tuning
from autoseg.reporting.figure import save_figure
from autoseg.requests import TuneRequest
from autoseg.runs import Progress, Run, StopRequest, describe_environment
from autoseg.runs.json_values import to_json
from autoseg.trained import RetrainedNetwork
from autoseg.tuning.logits_cache import LogitsCache
from autoseg.tuning.study import RANGES, CRFStudy, CRFTrial

TRIALS_NAME = "crf-trials.journal"
"""Optuna's file in the run folder, from which a stopped tuning goes on."""

_STUDY_VERSION = 1  # counts changes of ranges or score, after which old trials do not compare


class _Stopped(Exception):
    """The user asked to stop inside a trial."""


def run_tune(
    request: TuneRequest, *, command: Sequence[str], show: Callable[[dict[str, Any]], None]
) -> Path:
    """Tune, and leave crf.json and figures/crf_tuning in the run folder.

    A tuning with the same images, weights, mode and seed that was stopped goes on; its trials are
    counted in. The record is written in the end and after Ctrl-C.

    Args:
        request: What the user said.
        command: The command line, for the record.
        show: Called with the record's content before it is written, which may fail.

    Returns:
        The record's path.
    """
    stock = {name: replace(each, mode=request.crf_mode) for name, each in STOCK.items()}
    for parameters in stock.values():
        parameters.build()  # refuses an unknown mode before anything is computed
    device = resolve_device(request.device)
    trained = RetrainedNetwork.open(request.run)
    folder = trained.folder
    dataset = trained.dataset(request.split, data_root=request.data_root)
    indices = labelled_indices(dataset, request.num_images)
    if request.split == "val":
        announce(
            "chosen on val: the score with the CRF on val will be optimistic; --split train "
            "leaves val for judging."
        )
    for note in notes_on_network(trained):
        announce(note)
    with Run.annotate(folder) as run, StopRequest() as stop:
        identity = _identity(request, dataset, indices, trained)
        on_disk = _cache_mib(dataset, len(indices)) > request.cache_mib
        announce(
            f"logits of {len(indices)} images are kept "
            + ("on disk, in the run folder" if on_disk else "in memory")
            + f" (about {_cache_mib(dataset, len(indices)):.0f} MiB)"
        )
        name = _study_name(identity)
        with (
            CRFStudy(
                folder / TRIALS_NAME, name=name, seed=request.seed, mode=request.crf_mode
            ) as study,
            LogitsCache(folder, on_disk=on_disk) as cache,
        ):
            network = trained.network(request.weights).to(device)
            _fill(cache, network, dataset, indices, trained.image_scale, device)
            scorer = _Scorer(cache, dataset, indices, device, stop)
            plain = scorer.mean_iou(None)
            _search(study, scorer, stop, stock, num_trials=request.num_trials, plain=plain)
        trials = study.trials
        if not trials:
            raise UsageError("stopped before the first trial was scored; nothing was saved.")
        record = _record(request, identity, plain, trials, command)
        show(record)
        path = folder / TUNING_NAME
        atomic_write(path, (json.dumps(record, indent=2) + "\n").encode())
        title = f"CRF of {trained.choice.label}: {len(indices)} images of {request.split}"
        save_figure(draw_tuning(record, title=title), run.figures_dir / "crf_tuning")
        run.update(results={"crf_tuning": {k: record[k] for k in _IN_RUN_RECORD}})
    return path


_IN_RUN_RECORD = (
    "parameters",
    "use_crf",
    "mean_iou",
    "mean_iou_without",
    "mean_iou_change",
    "split",
    "num_images",
    "num_trials",
    "command",
)


def table_of(record: dict[str, Any]) -> str:
    """Write no CRF, the stock parameters and the best trial as a table for a terminal."""
    rows = [("no CRF", record["mean_iou_without"], 0.0)]
    rows += [(s["name"], s["mean_iou"], s["mean_iou_change"]) for s in record["stock"]]
    rows += [("best of all trials", record["mean_iou"], record["mean_iou_change"])]
    texts = [(name, f"{score:.4f}", f"{change:+.4f}") for name, score, change in rows]
    frame = pd.DataFrame(texts, columns=pd.Index(["CRF", "mIoU", "change"]))
    return frame.to_string(index=False)


def _search(
    study: CRFStudy,
    scorer: "_Scorer",
    stop: StopRequest,
    stock: dict[str, CRFSettings],
    *,
    num_trials: int,
    plain: float,
) -> None:
    """Run trials until there are enough or the user stops."""
    done = study.trials
    if done:
        announce(f"going on after {len(done)} trials")
    best = max((trial.mean_iou for trial in done), default=-math.inf)
    with Progress(num_trials, description="tune crf", unit="trial", initial=len(done)) as progress:
        while progress.num_done < num_trials and not stop.requested:
            try:
                trial = study.step(scorer.mean_iou, stock)
            except _Stopped:
                return
            best = max(best, trial.mean_iou)
            progress.update(best=best, no_crf=plain)


def _fill(
    cache: LogitsCache,
    network: torch.nn.Module,
    dataset: SegmentationDataset,
    indices: Sequence[int],
    image_scale: float,
    device: torch.device,
) -> None:
    """Compute the logits of all images."""
    with (
        Progress(len(indices), description="logits", unit="image") as progress,
        torch.inference_mode(),
    ):
        for index in indices:
            pixels = dataset[index].image.to(device)[None]
            images = normalise(pixels, dataset.normalisation)
            cache.append(predict_logits(network, images, scales=(image_scale,)))
            progress.update()


class _Scorer:
    """Scores parameters on the images whose logits are at hand."""

    def __init__(
        self,
        cache: LogitsCache,
        dataset: SegmentationDataset,
        indices: Sequence[int],
        device: torch.device,
        stop: StopRequest,
    ) -> None:
        self._cache = cache
        self._dataset = dataset
        self._indices = indices
        self._device = device
        self._stop = stop

    def mean_iou(self, parameters: CRFSettings | None) -> float:
        """Return the mean IoU over all images; of the network alone if `parameters` is None.

        Raises:
            _Stopped: If the user asks to stop meanwhile.
        """
        crf = None if parameters is None else parameters.build().to(self._device)
        confusion = ConfusionMatrix(self._dataset.num_classes, self._dataset.ignore_index)
        with torch.inference_mode():
            for place, index in enumerate(self._indices):
                sample = self._dataset[index]
                scores = self._cache[place].to(self._device)
                if crf is not None:
                    if self._stop.requested:
                        raise _Stopped
                    scores = crf(scores, sample.picture[None].to(self._device))
                confusion.update(scores.argmax(dim=1).cpu(), sample.target[None])
        return confusion.mean_iou()


def _cache_mib(dataset: SegmentationDataset, num_images: int) -> float:
    height, width = dataset.largest_size
    return num_images * dataset.num_classes * height * width * 4 / 2**20  # float32


def _identity(
    request: TuneRequest,
    dataset: SegmentationDataset,
    indices: Sequence[int],
    trained: RetrainedNetwork,
) -> dict[str, Any]:
    """Return what trials must agree on to be compared, as the record states it."""
    return {
        "dataset": dataset.name,
        "split": request.split,
        "num_images": len(indices),
        "indices": list(indices),
        "weights": request.weights,
        "weights_sha256": trained.weights_sha256(request.weights),
        "mode": request.crf_mode,
        "seed": request.seed,
    }


def _study_name(identity: dict[str, Any]) -> str:
    text = json.dumps({**identity, "version": _STUDY_VERSION}, sort_keys=True)
    return "crf-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _record(
    request: TuneRequest,
    identity: dict[str, Any],
    plain: float,
    trials: Sequence[CRFTrial],
    command: Sequence[str],
) -> dict[str, Any]:
    """Write down what was found; the earliest of equally good trials is the best."""
    best = max(trials, key=lambda trial: trial.mean_iou)
    change = best.mean_iou - plain
    effect = "helps" if change > 0 else "hurts" if change < 0 else "changes nothing"
    verdict = (
        f"the best CRF {effect}: mIoU {best.mean_iou:.4f} ({change:+.4f}) on {identity['split']}"
    )
    if change <= 0:
        verdict += "; nothing beats no CRF, so leave it out"
    record = {
        "format": TUNING_FORMAT,
        "format_version": TUNING_FORMAT_VERSION,
        "parameters": asdict(best.parameters),
        "use_crf": change > 0,
        "mean_iou": best.mean_iou,
        "mean_iou_without": plain,
        "mean_iou_change": change,
        "effect": effect,
        "verdict": verdict,
        **identity,
        "num_trials": len(trials),
        "num_trials_asked": request.num_trials,
        "finished": len(trials) >= request.num_trials,
        "ranges": {name: [each.low, each.high] for name, each in RANGES.items()},
        "stock": [
            _trial_record(trial, plain) | {"name": trial.name} for trial in trials if trial.name
        ],
        "trials": [_trial_record(trial, plain) for trial in trials],
        "command": shlex.join(command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **describe_environment(),
    }
    converted = to_json(record, where=TUNING_NAME)
    assert isinstance(converted, dict)
    return converted


def _trial_record(trial: CRFTrial, plain: float) -> dict[str, Any]:
    return {
        "parameters": asdict(trial.parameters),
        "mean_iou": trial.mean_iou,
        "mean_iou_change": trial.mean_iou - plain,
    }
