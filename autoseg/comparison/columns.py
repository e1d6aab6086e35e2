"""Columns of a comparison's tables, by the fields of its rows."""

from autoseg.comparison.rows import ComparisonRow
from autoseg.reporting.tables import Column


def _latency(field: str, heading: str) -> Column:
    return Column(
        key=f"{field}_median_ms",
        second_key=f"{field}_p90_ms",
        settled_key=f"is_{field}_settled",
        heading=heading,
        kind="number",
        unit="ms, median / p90",
    )


SCORE_COLUMNS = (
    Column(key="label", heading="Network"),
    Column(key="has_crf", heading="CRF"),
    Column(key="miou", heading="mIoU", kind="percent"),
    Column(key="miou_deviation", heading="Deviation over seeds", kind="percent"),
    Column(key="num_seeds", heading="Seeds", kind="exact"),
    Column(key="miou_change", heading="Change by CRF", kind="change"),
    Column(key="num_averaged", heading="Classes averaged", kind="exact"),
    Column(key="mean_accuracy", heading="Mean accuracy", kind="percent"),
    Column(key="pixel_accuracy", heading="Pixel accuracy", kind="percent"),
    Column(key="frequency_weighted_iou", heading="IoU by frequency", kind="percent"),
    Column(key="num_params", heading="Parameters", kind="scaled"),
    Column(key="macs", heading="MACs", kind="scaled"),
    Column(key="macs_fvcore", heading="by fvcore", kind="scaled"),
    Column(key="macs_thop", heading="by thop", kind="scaled"),
    _latency("latency", "Latency of network"),
    _latency("crf_latency", "of CRF"),
    _latency("total_latency", "of both"),
    Column(key="memory_mib", heading="Peak memory", kind="number", unit="MiB"),
    Column(key="energy_j", heading="Energy an image", kind="number", unit="J"),
    Column(key="theoretical_field", heading="Receptive field"),
    Column(key="effective_field_px", heading="Effective one", kind="number", unit="px"),
)
"""What a reader decides on."""

STAGE_COLUMNS = (
    Column(key="name", heading="Network"),
    Column(key="upload_latency_median_ms", heading="Host to device", kind="number", unit="ms"),
    Column(key="forward_latency_median_ms", heading="Network itself", kind="number", unit="ms"),
    Column(key="finish_latency_median_ms", heading="Resizing, argmax", kind="number", unit="ms"),
    Column(key="crf_latency_median_ms", heading="CRF", kind="number", unit="ms"),
    Column(key="total_latency_median_ms", heading="Total", kind="number", unit="ms"),
    Column(
        key="total_latency_low_ms",
        second_key="total_latency_high_ms",
        heading="its 95 % interval",
        kind="number",
        unit="ms",
    ),
    Column(key="total_latency_p90_ms", heading="its p90", kind="number", unit="ms"),
    Column(key="total_latency_p99_ms", heading="its p99", kind="number", unit="ms"),
    Column(key="num_timed_runs", heading="Runs", kind="exact"),
)
"""Where the time goes, and how surely it is known."""

OFFLINE_COLUMNS = (
    Column(key="name", heading="Network"),
    Column(
        key="offline_images_per_second",
        settled_key="is_offline_latency_settled",
        heading="Images a second",
        kind="number",
    ),
    Column(key="offline_batch", heading="Batch", kind="exact"),
    Column(key="offline_latency_median_ms", heading="A batch", kind="number", unit="ms"),
    Column(key="offline_memory_mib", heading="Peak memory", kind="number", unit="MiB"),
    Column(
        key="total_latency_median_ms",
        settled_key="is_total_latency_settled",
        heading="Single-stream, an image",
        kind="number",
        unit="ms",
    ),
)
"""The largest batch, beside the time of one image."""

PROTOCOL_COLUMNS = (
    Column(key="seed", heading="Seed", kind="exact"),
    Column(key="num_steps", heading="Training steps", kind="exact"),
    Column(key="best_step", heading="Step of the weights", kind="exact"),
    Column(key="weights", heading="Weights"),
    Column(key="is_chosen_on_split", heading="Weights chosen on these images (optimistic)"),
    Column(key="num_images", heading="Images scored", kind="exact"),
    Column(key="device", heading="Device"),
    Column(key="processor", heading="Processor"),
    Column(key="torch_version", heading="Version of torch"),
    Column(key="backend", heading="Run by"),
    Column(key="dtype", heading="Number format"),
    Column(key="memory_format", heading="Order in memory"),
    Column(key="batch_size", heading="Images a call", kind="exact"),
    Column(key="num_threads", heading="Threads", kind="exact"),
)
"""How it was measured; those that are equal in all rows are told once, above the table."""

CSV_COLUMNS = tuple(Column(key=name, heading=name) for name in ComparisonRow.__dataclass_fields__)
"""Every field of a row, under its own name."""
