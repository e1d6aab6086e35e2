"""Rows of a comparison that tests share."""

from dataclasses import replace

from autoseg.comparison.rows import ComparisonRow, NetworkComparison

ROW = ComparisonRow(
    label="icnet_resnet50",
    network="icnet_resnet50",
    has_crf=False,
    miou=0.5,
    miou_change=None,
    num_seeds=1,
    num_averaged=2,
    mean_accuracy=0.6,
    pixel_accuracy=0.7,
    frequency_weighted_iou=0.55,
    num_params=1_234_567,
    macs=2_000_000_000,
    macs_fvcore=2_100_000_000,
    macs_thop=None,
    forward_latency_median_ms=9.0,
    finish_latency_median_ms=1.25,
    latency_median_ms=10.0,
    latency_p90_ms=12.0,
    is_latency_settled=True,
    crf_latency_median_ms=None,
    crf_latency_p90_ms=None,
    is_crf_latency_settled=None,
    total_latency_median_ms=10.0,
    total_latency_low_ms=9.5,
    total_latency_high_ms=10.5,
    total_latency_p90_ms=12.0,
    total_latency_p99_ms=13.0,
    num_timed_runs=20,
    total_latency_quantiles_ms=(9.0, 9.5, 10.0, 10.5, 12.5),
    latency_drift=None,
    is_total_latency_settled=True,
    memory_mib=1.5,
    width=0.125,
    filter_multiplier=None,
    dataset="synthetic",
    split="val",
    num_classes=2,
    num_images=64,
    image_height=96,
    image_width=128,
    input_height=96,
    input_width=128,
    image_heights=(96, 96),
    image_widths=(128, 128),
    device="cpu",
    processor="some processor",
    torch_version="2.11.0",
    dtype="float32",
    num_threads=2,
    seed=0,
    num_steps=400,
    best_step=300,
    run="runs/a",
    weights_sha256="0123456789abcdef",
    crf=None,
)


def network(*, crf_miou=None, class_iou=(0.25, 0.75), notes=(), **changes):
    """A network like ROW with some fields changed, and with a second row if `crf_miou` is given."""
    rows = [replace(ROW, **changes)]
    if crf_miou is not None:
        rows.append(
            replace(
                rows[0],
                has_crf=True,
                miou=crf_miou,
                miou_change=crf_miou - rows[0].miou,
                crf_latency_median_ms=50.0,
                crf_latency_p90_ms=55.0,
                is_crf_latency_settled=True,
                total_latency_median_ms=61.0,
                total_latency_p90_ms=66.0,
                crf="bilateral_weight 4.0, num_iterations 10",
            )
        )
    return NetworkComparison(
        rows=tuple(rows),
        class_names=("road", "sky"),
        class_iou=(class_iou,) * len(rows),
        notes=notes,
    )
