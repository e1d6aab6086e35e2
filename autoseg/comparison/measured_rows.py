"""The rows of a network that was measured: each field from what was scored, counted and timed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from autoseg.comparison.case import Case
from autoseg.comparison.forms import Formed
from autoseg.comparison.mac_counts import Macs
from autoseg.comparison.receptive_fields import columns_behind_crf
from autoseg.comparison.rows import ComparisonRow
from autoseg.comparison.timing import Costs, TimingConfig
from autoseg.cost import Latency
from autoseg.metrics import ConfusionMatrix
from autoseg.networks import inference_parameters
from autoseg.runs import processor_name


def plain_row(
    case: Case,
    formed: Formed,
    counts: Macs,
    confusion: ConfusionMatrix | None,
    costs: Costs,
    *,
    image_sizes: Sequence[tuple[int, int]],
    device: torch.device,
    timing: TimingConfig,
) -> ComparisonRow:
    """Fill the row of a network without the CRF.

    Args:
        case: What was measured.
        formed: The network in its form.
        counts: Its multiply-accumulates.
        confusion: Its score; None if it was not scored.
        costs: What it costs.
        image_sizes: Height and width of the images that it was scored on, in pixels; without a
            score of the one that it was timed on.
        device: Where that was measured.
        timing: On what.
    """
    subject = case.subject
    dataset, trained = subject.dataset, subject.trained
    image_height, image_width = subject.image_size
    input_height, input_width = subject.input_size
    timed_height, timed_width = timing.image_size or subject.first_size
    heights, widths = zip(*image_sizes, strict=True)
    return ComparisonRow(
        label=case.label,
        network=subject.name,
        has_crf=False,
        miou=confusion.mean_iou() if confusion else None,
        miou_change=None,
        num_seeds=1 if trained else None,
        num_averaged=confusion.num_averaged if confusion else None,
        mean_accuracy=confusion.mean_accuracy() if confusion else None,
        pixel_accuracy=confusion.pixel_accuracy() if confusion else None,
        frequency_weighted_iou=confusion.frequency_weighted_iou() if confusion else None,
        num_params=sum(p.numel() for p in inference_parameters(subject.network)),
        macs=counts.macs,
        macs_fvcore=counts.fvcore,
        macs_thop=counts.thop,
        upload_latency_median_ms=costs.upload and costs.upload.median_ms,
        forward_latency_median_ms=costs.forward.median_ms,
        finish_latency_median_ms=costs.finish.median_ms,
        latency_median_ms=costs.network.median_ms,
        latency_p90_ms=costs.network.p90_ms,
        is_latency_settled=_is_settled(costs.network),
        crf_latency_median_ms=None,
        crf_latency_p90_ms=None,
        is_crf_latency_settled=None,
        **_total(costs.total),
        memory_mib=costs.memory_mib,
        energy_j=costs.energy_j,
        **(case.receptive_field.columns if case.receptive_field else {}),
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
        image_heights=(min(heights), max(heights)),
        image_widths=(min(widths), max(widths)),
        batch_size=timing.batch_size,
        timed_height=timed_height,
        timed_width=timed_width,
        device=str(device),
        processor=processor_name(device),
        torch_version=str(torch.__version__),
        **formed.fields,
        num_threads=torch.get_num_threads(),
        seed=trained.seed if trained else None,
        num_steps=trained.num_steps if trained else None,
        best_step=trained.best_step if trained else None,
        weights=trained.weights if trained else None,
        is_chosen_on_split=trained.has_chosen(dataset.split) if trained else None,
        training_sha256=trained.training_sha256 if trained else None,
        run=str(trained.folder) if trained else None,
        weights_sha256=trained.weights_sha256 if trained else None,
        crf=None,
        views=None if case.views is None else str(case.views),
    )


def crf_row(
    plain: ComparisonRow, confusion: ConfusionMatrix | None, costs: Costs, *, crf_text: str
) -> ComparisonRow:
    """Fill the row with the CRF, given the one without it and the CRF's parameters in words."""
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
        is_crf_latency_settled=_is_settled(costs.crf),
        **_total(costs.together),
        memory_mib=costs.memory_together_mib,
        energy_j=costs.energy_together_j,
        **columns_behind_crf(plain.theoretical_field),
        crf=crf_text,
    )


def _is_settled(latency: Latency) -> bool:
    return latency.is_stable and latency.drift is None


def _total(latency: Latency) -> dict[str, Any]:
    """Return the fields of a row that hold the time from image to classes."""
    return {
        "total_latency_median_ms": latency.median_ms,
        "total_latency_low_ms": latency.median_low_ms,
        "total_latency_high_ms": latency.median_high_ms,
        "total_latency_p90_ms": latency.p90_ms,
        "total_latency_p99_ms": latency.p99_ms,
        "num_timed_runs": latency.num_runs,
        "total_latency_quantiles_ms": latency.quantiles_ms,
        "is_total_latency_settled": _is_settled(latency),
        "latency_drift": latency.drift,
    }
