"""Measure one network for a comparison: what is scored is what is counted and timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from autoseg.comparison.evidence import EvidenceOf, scene_indices, true_scenes
from autoseg.comparison.rows import DOUBTFUL, BorderResult, ComparisonRow, NetworkComparison
from autoseg.comparison.subject import Subject
from autoseg.cost import (
    Latency,
    MacPrediction,
    ToolCount,
    count_macs_fvcore,
    count_macs_thop,
    explain_macs,
    measure_latency,
    measure_peak_memory,
)
from autoseg.crf import DenseCRF
from autoseg.data import as_rgb, normalise
from autoseg.evaluation import evaluate, predict_logits
from autoseg.metrics import BorderScore, ConfusionMatrix, border_scores, doubt_about
from autoseg.networks import inference_parameters
from autoseg.reporting.tables import scaled
from autoseg.runs import Progress

DTYPE = torch.float32

_CRF_LAYER = (
    "its last layer is a dense CRF, which was trained with it: the row without CRF has that one in "
    "parameters, latency and memory, but not in MACs, which count no message passing; the row with "
    "CRF refines its result by another one."
)
_NUM_REASONS = 3  # of a difference between two counters, before "other" sums up the rest


@dataclass(frozen=True, kw_only=True, slots=True)
class TimingChoice:
    """How long each timing lasts."""

    min_runs: int
    """Runs behind the percentiles, at least."""
    min_seconds: float
    """Seconds of timing, at least."""


def measure(
    subject: Subject,
    *,
    device: torch.device,
    crf: DenseCRF | None,
    crf_text: str,
    timing: TimingChoice,
    progress: Progress,
    crf_notes: Sequence[str] = (),
    new_borders: Callable[[int, int], Sequence[BorderScore]] = border_scores,
) -> NetworkComparison:
    """Score, count and time a network, without the CRF and with it.

    Args:
        subject: The network; it is moved to the device.
        device: Where everything is measured.
        crf: The CRF, on the device; None leaves its row out.
        crf_text: Its parameters, for its row.
        timing: How long each timing lasts.
        progress: Counts each scored image, and says what else takes time.
        crf_notes: What a reader should know of its parameters.
        new_borders: Begins scores of borders for a number of classes and an ignored label; as it
            is, none.
    """
    network = subject.network.to(device)
    scores = None
    shown = scene_indices(subject.indices) if subject.indices else []
    dataset = subject.dataset
    evidence = [
        EvidenceOf(dataset, shown, new_borders(dataset.num_classes, dataset.ignore_index))
        for _ in range(1 if crf is None else 2)
    ]

    def on_prediction(index: int, target: Tensor, *preds: Tensor) -> None:
        for collected, pred in zip(evidence, preds, strict=True):
            collected.add(index, pred, target)

    if subject.indices:
        scores = evaluate(
            network,
            dataset,
            device=device,
            indices=subject.indices,
            crf=crf,
            scales=(subject.image_scale,),
            on_image=lambda *_: progress.update(),
            on_prediction=on_prediction,
        )
    with progress.phase("counting MACs"):
        counts = _count_macs(network, subject.input_size, device=device)
    with progress.phase("timing"):
        costs = _time(subject, network, crf=crf, device=device, timing=timing)
    plain = _plain_row(subject, scores.plain if scores else None, counts, costs, device=device)
    rows, class_iou = [plain], [_class_iou(scores.plain if scores else None)]
    if crf is not None:
        refined = scores.with_crf if scores else None
        rows.append(_crf_row(plain, refined, costs, crf_text=crf_text))
        class_iou.append(_class_iou(refined))
    return NetworkComparison(
        rows=tuple(rows),
        class_names=dataset.class_names,
        class_iou=tuple(class_iou),
        notes=(
            *_doubts(subject, scores.plain if scores else None),
            *_training_notes(subject),
            *counts.notes,
            *costs.notes,
            *crf_notes,
        ),
        evidence=tuple(collected.result() for collected in evidence) if scores else (),
        scenes=true_scenes(dataset, shown),
        borders=tuple(_border_results(collected.borders) for collected in evidence)
        if scores
        else (),
    )


def _doubts(subject: Subject, confusion: ConfusionMatrix | None) -> tuple[str, ...]:
    """Say why a score is no achievement, where it is none."""
    if confusion is None or subject.trained is None:
        return ()
    dataset = subject.dataset
    colour_miou = subject.trained.colour_miou if dataset.split == "val" else None
    doubt = doubt_about(confusion, dataset.class_names, colour_miou=colour_miou)
    return () if doubt is None else (f"{DOUBTFUL}{doubt}.",)


def _training_notes(subject: Subject) -> tuple[str, ...]:
    """Say what sets the training of a row apart from the common recipe."""
    notes = []
    trained = subject.trained
    if trained is not None and trained.loss != "cross_entropy":
        notes.append(f"trained with another loss than plain cross-entropy: {trained.loss}.")
    if trained is not None and trained.started_from is not None:
        notes.append(f"started from the weights in {trained.started_from}, not from random ones.")
    if subject.has_crf_layer:
        notes.append(_CRF_LAYER)
    return tuple(notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Macs:
    """Three counts of one image."""

    macs: int
    fvcore: int | None
    thop: int | None
    notes: tuple[str, ...]


def _count_macs(network: nn.Module, input_size: tuple[int, int], *, device: torch.device) -> _Macs:
    explanation = explain_macs(network, input_size)
    fvcore = count_macs_fvcore(network, input_size, device=str(device))
    thop = count_macs_thop(network, input_size, device=str(device))
    return _Macs(
        macs=explanation.canonical.macs,
        fvcore=fvcore.macs,
        thop=thop.macs,
        notes=tuple(
            explain_count(count, prediction)
            for count, prediction in ((fvcore, explanation.fvcore), (thop, explanation.thop))
        ),
    )


def explain_count(count: ToolCount, prediction: MacPrediction) -> str:
    """Say why another counter's total is not ours.

    Args:
        count: What the tool said, or why it failed.
        prediction: What it must say, with the reasons.
    """
    if count.macs is None:
        return f"{count.tool} failed: {count.failure}."
    difference = count.macs - prediction.canonical
    if difference == 0:
        return f"{count.tool} counts the same."
    shown = [(term.reason, term.macs) for term in prediction.terms[:_NUM_REASONS]]
    rest = sum(term.macs for term in prediction.terms[_NUM_REASONS:])
    if rest:
        shown.append(("other reasons", rest))
    if count.macs != prediction.macs:
        shown.append(("not explained", count.macs - prediction.macs))
    reasons = "; ".join(f"{reason} ({_signed(macs)})" for reason, macs in shown)
    return f"{count.tool} differs by {_signed(difference)}: {reasons}."


def _signed(macs: int) -> str:
    return ("-" if macs < 0 else "+") + scaled(abs(macs))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Costs:
    """Times and memory of one image."""

    network: Latency
    crf: Latency | None
    together: Latency | None
    memory_mib: float
    memory_together_mib: float

    @property
    def notes(self) -> tuple[str, ...]:
        timed = {"network": self.network, "CRF": self.crf, "network and CRF": self.together}
        unstable = [name for name, time in timed.items() if time and not time.is_stable]
        if not unstable:
            return ()
        return (
            f"the times of {', '.join(unstable)} did not settle during the warm-up; another "
            "program may have kept the machine busy.",
        )


def _time(
    subject: Subject,
    network: nn.Module,
    *,
    crf: DenseCRF | None,
    device: torch.device,
    timing: TimingChoice,
) -> _Costs:
    pixels = subject.dataset[0].image.to(device).unsqueeze(0)
    images = normalise(pixels, subject.dataset.normalisation)
    colours = as_rgb(pixels)

    def logits() -> Tensor:
        return predict_logits(network, images, scales=(subject.image_scale,))

    def latency(classes: Callable[[], Tensor]) -> Latency:
        return measure_latency(
            classes, device=device, min_runs=timing.min_runs, min_seconds=timing.min_seconds
        )

    def alone() -> Tensor:
        return logits().argmax(dim=1)

    with torch.inference_mode():
        network_time = latency(alone)
        memory_mib = measure_peak_memory(alone, device=device)
        if crf is None:
            return _Costs(
                network=network_time,
                crf=None,
                together=None,
                memory_mib=memory_mib,
                memory_together_mib=memory_mib,
            )
        fixed = logits()
        return _Costs(
            network=network_time,
            crf=latency(lambda: crf(fixed, colours).argmax(dim=1)),
            together=latency(lambda: crf(logits(), colours).argmax(dim=1)),
            memory_mib=memory_mib,
            memory_together_mib=measure_peak_memory(
                lambda: crf(logits(), colours).argmax(dim=1), device=device
            ),
        )


def _plain_row(
    subject: Subject,
    confusion: ConfusionMatrix | None,
    counts: _Macs,
    costs: _Costs,
    *,
    device: torch.device,
) -> ComparisonRow:
    dataset, trained = subject.dataset, subject.trained
    (image_height, image_width), (input_height, input_width) = (
        subject.image_size,
        subject.input_size,
    )
    return ComparisonRow(
        label=subject.label,
        network=subject.name,
        has_crf=False,
        miou=confusion.mean_iou() if confusion else None,
        miou_change=None,
        num_averaged=confusion.num_averaged if confusion else None,
        mean_accuracy=confusion.mean_accuracy() if confusion else None,
        pixel_accuracy=confusion.pixel_accuracy() if confusion else None,
        frequency_weighted_iou=confusion.frequency_weighted_iou() if confusion else None,
        num_params=sum(p.numel() for p in inference_parameters(subject.network)),
        macs=counts.macs,
        macs_fvcore=counts.fvcore,
        macs_thop=counts.thop,
        latency_median_ms=costs.network.median_ms,
        latency_p90_ms=costs.network.p90_ms,
        is_latency_settled=costs.network.is_stable,
        crf_latency_median_ms=None,
        crf_latency_p90_ms=None,
        is_crf_latency_settled=None,
        total_latency_median_ms=costs.network.median_ms,
        total_latency_p90_ms=costs.network.p90_ms,
        is_total_latency_settled=costs.network.is_stable,
        memory_mib=costs.memory_mib,
        width=subject.width,
        filter_multiplier=subject.filter_multiplier,
        dataset=dataset.name,
        split=dataset.split,
        num_classes=dataset.num_classes,
        num_images=len(subject.indices) or None,
        image_height=image_height,
        image_width=image_width,
        input_height=input_height,
        input_width=input_width,
        device=str(device),
        dtype=str(DTYPE).removeprefix("torch."),
        num_threads=torch.get_num_threads(),
        seed=trained.seed if trained else None,
        num_steps=trained.num_steps if trained else None,
        best_step=trained.best_step if trained else None,
        run=str(trained.folder) if trained else None,
        weights_sha256=trained.weights_sha256 if trained else None,
        crf=None,
    )


def _crf_row(
    plain: ComparisonRow, confusion: ConfusionMatrix | None, costs: _Costs, *, crf_text: str
) -> ComparisonRow:
    assert costs.crf is not None and costs.together is not None
    miou = confusion.mean_iou() if confusion else None
    return replace(
        plain,
        has_crf=True,
        miou=miou,
        miou_change=None if miou is None or plain.miou is None else miou - plain.miou,
        num_averaged=confusion.num_averaged if confusion else None,
        mean_accuracy=confusion.mean_accuracy() if confusion else None,
        pixel_accuracy=confusion.pixel_accuracy() if confusion else None,
        frequency_weighted_iou=confusion.frequency_weighted_iou() if confusion else None,
        crf_latency_median_ms=costs.crf.median_ms,
        crf_latency_p90_ms=costs.crf.p90_ms,
        is_crf_latency_settled=costs.crf.is_stable,
        total_latency_median_ms=costs.together.median_ms,
        total_latency_p90_ms=costs.together.p90_ms,
        is_total_latency_settled=costs.together.is_stable,
        memory_mib=costs.memory_together_mib,
        crf=crf_text,
    )


def _border_results(scores: Sequence[BorderScore]) -> tuple[BorderResult, ...]:
    return tuple(
        BorderResult(
            key=score.key,
            heading=score.heading,
            mean=score.mean(),
            by_class=tuple(score.by_class().tolist()),
        )
        for score in scores
    )


def _class_iou(confusion: ConfusionMatrix | None) -> tuple[float, ...] | None:
    return None if confusion is None else tuple(confusion.iou().tolist())
