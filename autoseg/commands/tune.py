"""Choose the dense CRF's parameters for a retrained network, on some of its images."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from autoseg.atomic import atomic_write
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.commands.tensorboard import Board, mirrored, require_tensorboard
from autoseg.crf import STOCK, CRFConfig
from autoseg.data import labelled_indices
from autoseg.reporting.crf_tuning import draw_tuning
from autoseg.reporting.figure import save_figure
from autoseg.requests import TuneRequest
from autoseg.runs import Progress, Run, StopRequest
from autoseg.trained import RetrainedNetwork
from autoseg.tuning import (
    TUNING_NAME,
    CRFScorer,
    CRFStudy,
    LogitsCache,
    TuningResult,
    TuningStopped,
    TuningSubject,
    fill_cache,
    logits_mib,
    notes_on_network,
)

TRIALS_NAME = "crf-trials.journal"
"""Optuna's file in the run folder, from which a stopped tuning goes on."""


def run_tune(
    request: TuneRequest, *, command: Sequence[str], show: Callable[[TuningResult], None]
) -> tuple[Path, TuningResult] | None:
    """Tune, and leave crf.json and figures/crf_tuning in the run folder.

    A tuning with the same images, weights, mode and seed that was stopped goes on; its trials are
    counted in. The record is written in the end and after Ctrl-C.

    Args:
        request: What the user said.
        command: The command line, for the record.
        show: Called with what was found before it is written, which may fail.

    Returns:
        The record's path, and what was found; None if the user stopped before a trial was scored.
    """
    stock = {name: replace(each, mode=request.crf_mode) for name, each in STOCK.items()}
    for parameters in stock.values():
        parameters.build()  # refuses an unknown mode before anything is computed
    device = resolve_device(request.device)
    require_tensorboard(request.tensorboard)
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
    with (
        Run.annotate(folder) as run,
        StopRequest() as stop,
        mirrored(folder, is_wanted=request.tensorboard) as board,
    ):
        subject = TuningSubject(
            dataset=dataset.name,
            split=request.split,
            indices=tuple(indices),
            weights=request.weights,
            weights_sha256=trained.weights_sha256(request.weights),
            mode=request.crf_mode,
            seed=request.seed,
        )
        size = logits_mib(dataset, len(indices))
        on_disk = size > request.cache_mib
        announce(
            f"logits of {len(indices)} images are kept "
            + ("on disk, in the run folder" if on_disk else "in memory")
            + f" (about {size:.0f} MiB)"
        )
        with (
            CRFStudy(
                folder / TRIALS_NAME,
                name=subject.study_name,
                seed=request.seed,
                mode=request.crf_mode,
            ) as study,
            LogitsCache(folder, on_disk=on_disk) as cache,
        ):
            network = trained.network(request.weights).to(device)
            scale = trained.image_scale
            try:
                fill_cache(cache, network, dataset, indices, scale, device, lambda: stop.requested)
            except TuningStopped:
                return None
            scorer = CRFScorer(cache, dataset, indices, device, lambda: stop.requested)
            plain = scorer.mean_iou(None)
            _search(
                study, scorer, stop, stock, num_trials=request.num_trials, plain=plain, board=board
            )
        trials = study.trials
        if not trials:
            return None
        result = TuningResult(
            subject=subject,
            mean_iou_without=plain,
            trials=tuple(trials),
            num_trials_asked=request.num_trials,
        )
        record = result.record(command)
        show(result)
        path = folder / TUNING_NAME
        atomic_write(path, (json.dumps(record, indent=2) + "\n").encode())
        title = f"CRF of {trained.choice.label}: {len(indices)} images of {request.split}"
        save_figure(draw_tuning(record, title=title), run.figures_dir / "crf_tuning")
        run.update(results={"crf_tuning": {k: record[k] for k in _IN_RUN_RECORD}})
    return path, result


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


def table_of(result: TuningResult) -> str:
    """Write no CRF, the stock parameters and the best trial as a table for a terminal."""
    texts = [(name, f"{score:.4f}", f"{change:+z.4f}") for name, score, change in result.rows()]
    frame = pd.DataFrame(texts, columns=pd.Index(["CRF", "mIoU", "change"]))
    return frame.to_string(index=False)


def _search(
    study: CRFStudy,
    scorer: CRFScorer,
    stop: StopRequest,
    stock: dict[str, CRFConfig],
    *,
    num_trials: int,
    plain: float,
    board: Board,
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
            except TuningStopped:
                return
            best = max(best, trial.mean_iou)
            progress.update(best=best, no_crf=plain)
            board.add(
                {"step": progress.num_done, "crf_miou": trial.mean_iou, "best_crf_miou": best}
            )
