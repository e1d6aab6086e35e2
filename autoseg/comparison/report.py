"""A comparison as one HTML page: verdict, chart, tables and pictures."""

import io
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoseg.comparison.documents import (
    READING,
    Comparison,
    border_table,
    notes_of,
    run_table,
    score_columns,
    shared_text,
    stage_tables,
)
from autoseg.comparison.evidence import TrueScene
from autoseg.comparison.rows import ComparisonGroup, ComparisonRow
from autoseg.comparison.verdict import doubts_of, row_name, verdict
from autoseg.reporting.chart import Axis, Chart, Point
from autoseg.reporting.network_colours import network_colour
from autoseg.reporting.page import Heat, Picture, Scene, Section, Table, render_page
from autoseg.reporting.samples import ignored_colour
from autoseg.reporting.tables import (
    MISSING,
    Column,
    Record,
    prefix_for,
    readable_frame,
)

_BESIDE_THE_NUMBERS = ("Device", "Latency", "Weights")
"""Facts of the protocol without which the numbers say nothing."""

_MAX_WIDTH = 640  # pixels of a picture
_MAX_PALETTE = 256  # colours of a PNG with one byte a pixel
_CHOICE_OF_SCENES = (
    "Pictures: images evenly spread over those that were scored, chosen by no network's result."
)


def comparison_page(comparison: Comparison) -> str:
    """Write the report: one page that needs no other file and no network."""
    facts = [f"{name}: {comparison.protocol[name]}" for name in _BESIDE_THE_NUMBERS
             if name in comparison.protocol]  # fmt: skip
    sections = [
        _section(group, anchor=f"g{number}", facts=facts)
        for number, group in enumerate(comparison.groups, start=1)
    ]
    if comparison.left_out:
        sections.append(Section(heading="Left out", anchor="left-out", notes=comparison.left_out))
    sections.append(Section(heading="How to read this", anchor="reading", notes=READING))
    return render_page(
        title="Comparison of segmentation networks",
        warning=comparison.warning,
        sections=sections,
        facts=comparison.protocol,
    )


def _section(group: ComparisonGroup, *, anchor: str, facts: Sequence[str]) -> Section:
    scenes = _scenes(group)
    truth = _true_scenes(group)
    attributions = [scene.attribution for scene in truth if scene.attribution]
    records, columns = run_table(group)
    borders = border_table(group)
    return Section(
        heading=str(group.key),
        anchor=anchor,
        verdict=tuple(verdict(group)),
        text=" ".join([shared_text(group), *(f"{fact}." for fact in facts)]),
        chart=_chart(group),
        tables=(
            _table(group.records, score_columns(group), has_anchors=True),
            *([_table(*borders, caption="At borders")] if borders[0] else []),
            *_class_tables(group),
            *(_table(*table, caption=caption) for caption, *table in stage_tables(group)),
            _table(records, columns, caption="Where the rows come from"),
        ),
        scenes=scenes,
        attribution=" ".join([_CHOICE_OF_SCENES, *dict.fromkeys(attributions)]) if scenes else "",
        notes=tuple(notes_of(group)),
    )


def _table(
    records: Sequence[Record],
    columns: Sequence[Column],
    *,
    caption: str = "",
    has_anchors: bool = False,
) -> Table:
    return Table(
        frame=readable_frame(records, columns),
        words=frozenset(column.heading for column in columns if column.kind == "text"),
        caption=caption,
        has_anchors=has_anchors,
    )


def _class_tables(group: ComparisonGroup) -> list[Table]:
    """A table of the IoU of each class, where anything was scored."""
    columns = {
        row_name(row): iou
        for network in group.networks
        for row, iou in zip(network.rows, network.class_iou, strict=True)
        if iou is not None
    }
    if not columns:
        return []
    class_names = group.networks[0].class_names
    heat = Heat(names=class_names, columns=columns, missing=MISSING)
    return [Table(heat=heat, caption="IoU of each class (%)")]


def _chart(group: ComparisonGroup) -> Chart:
    """Draw every row; the front of a cost has the rows whose cost is known and means the same."""
    rows = [row for network in group.networks for row in network.rows]
    records, columns = border_table(group)
    borders = {record["name"]: record for record in records}
    doubts = doubts_of(group)
    border_columns = [column for column in columns if column.key not in ("name", "miou")]
    macs_divisor, macs_prefix = prefix_for(max(row.macs for row in rows))
    params_divisor, params_prefix = prefix_for(max(row.num_params for row in rows))
    is_scored = any(row.miou is not None for row in rows)
    scores = (Axis(key="miou", heading="mIoU", unit="%", factor=100, is_high_good=True),)
    axes = (
        *(scores if is_scored else ()),
        *(
            Axis(key=column.key, heading=column.heading, unit="%", factor=100, is_high_good=True)
            for column in border_columns
        ),
        Axis(key="latency", heading="Latency, median", unit="ms"),
        Axis(key="macs", heading="MACs", unit=macs_prefix, factor=1 / macs_divisor),
        Axis(key="memory", heading="Peak memory", unit="MiB"),
        Axis(key="params", heading="Parameters", unit=params_prefix, factor=1 / params_divisor),
    )
    return Chart(
        axes=axes,
        x="latency",
        y="miou" if is_scored else "macs",
        points=tuple(
            _point(
                row,
                {c.key: borders.get(row_name(row), {}).get(c.key) for c in border_columns},
                is_doubtful=row.label in doubts,
            )
            for row in rows
        ),
    )


def _point(row: ComparisonRow, borders: Mapping[str, float | None], *, is_doubtful: bool) -> Point:
    unranked = [] if row.is_timed_here else ["latency"]
    if is_doubtful:
        unranked += ["miou", *borders]
    if row.has_crf:  # its work is in neither count: the row would beat the network without it
        unranked += ["macs", "params"]
    return Point(
        label=row.label,
        remark="with CRF" if row.has_crf else "",
        values={
            "miou": row.miou,
            **borders,
            "latency": None if row.measured_elsewhere else row.total_latency_median_ms,
            "macs": row.macs,
            "memory": None if row.measured_elsewhere else row.memory_mib,
            "params": row.num_params,
        },
        colour=network_colour(row.label),
        spreads={} if row.miou_deviation is None else {"miou": row.miou_deviation},
        details=tuple(
            f"mIoU of seed {seed} (%): {100 * miou:.2f}"
            for seed, miou in zip(row.seeds, row.seed_mious, strict=False)
        ),
        unranked=tuple(unranked),
    )


def _true_scenes(group: ComparisonGroup) -> tuple[TrueScene, ...]:
    return next((network.scenes for network in group.networks if network.scenes), ())


def _scenes(group: ComparisonGroup) -> tuple[Scene, ...]:
    """Show every network's prediction of the images that all of them predicted."""
    scenes = []
    for number, scene in enumerate(_true_scenes(group)):
        step = -(-scene.image.shape[1] // _MAX_WIDTH)
        labelled = [("truth", scene.target)]
        for network in group.networks:
            if [each.name for each in network.scenes] == [s.name for s in _true_scenes(group)]:
                labelled += [
                    (row_name(row), evidence.shown[number])
                    for row, evidence in zip(network.rows, network.evidence, strict=True)
                ]
        pictures = [Picture(label="image", content=_jpeg(scene.image[::step, ::step]), kind="jpeg")]
        pictures += [
            Picture(label=label, content=_label_png(classes[::step, ::step], scene), kind="png")
            for label, classes in labelled
        ]
        scenes.append(Scene(name=scene.name, pictures=tuple(pictures)))
    return tuple(scenes)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    return _encoded(Image.fromarray(image), "JPEG")


def _label_png(classes: NDArray[np.integer], scene: TrueScene) -> bytes:
    """Colour classes; a byte a pixel where the colours allow it, which is a third of the size."""
    num_classes = len(scene.palette)
    places = np.where(classes == scene.ignore_index, num_classes, classes)
    colours = np.vstack([scene.palette, [ignored_colour(scene.palette)]]).astype(np.uint8)
    if len(colours) > _MAX_PALETTE:
        return _encoded(Image.fromarray(colours[places]), "PNG")
    picture = Image.fromarray(places.astype(np.uint8), mode="P")
    picture.putpalette(colours.tobytes())
    return _encoded(picture, "PNG")


def _encoded(picture: Image.Image, kind: Literal["JPEG", "PNG"]) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, quality=85, optimize=True)  # a PNG has no quality
    return buffer.getvalue()
