"""A comparison as one HTML page: verdict, chart, tables and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autoseg.comparison.documents import (
    READING,
    Comparison,
    border_table,
    calibration_table,
    confusion_table,
    form_table,
    gain_table,
    gains_of,
    notes_of,
    offline_tables,
    run_table,
    score_columns,
    shared_text,
    stage_tables,
)
from autoseg.comparison.gains import Gain
from autoseg.comparison.grading import RULE
from autoseg.comparison.pictures import (
    ERRORS,
    classes_of,
    draw_fields,
    grids_of,
    scenes_of,
    true_scenes_of,
)
from autoseg.comparison.rows import ComparisonGroup, ComparisonRow
from autoseg.comparison.verdict import doubts_of, row_name, verdict
from autoseg.reporting.bars import Bar, Bars, bars_of
from autoseg.reporting.chart import Axis, Chart, Point
from autoseg.reporting.figure import svg_text
from autoseg.reporting.network_colours import network_colour
from autoseg.reporting.page import Heat, Picture, Section, Table, render_page
from autoseg.reporting.reliability import draw_reliability
from autoseg.reporting.tables import (
    MISSING,
    Column,
    Record,
    prefix_for,
    readable_frame,
)

_BESIDE_THE_NUMBERS = ("Device", "Latency", "Weights")
"""Facts of the protocol without which the numbers say nothing."""

_STAGES = {
    "upload_latency_median_ms": "host to device",
    "forward_latency_median_ms": "network",
    "finish_latency_median_ms": "resizing, argmax",
    "crf_latency_median_ms": "CRF",
}
"""Fields of a row that hold the median of a stage, and what the bars call it."""
_MAX_PICTURES = 3_000_000
"""Bytes of the pictures in the page; what lies beyond is left out, and the page says so."""
_CHOICE_OF_SCENES = (
    "Pictures: images evenly spread over those that were scored, chosen by no network's result."
)


def comparison_page(comparison: Comparison) -> str:
    """Write the report: one page that needs no other file and no network."""
    sections = [
        _section(group, anchor=f"g{number}", facts=_facts(group, comparison.protocol))
        for number, group in enumerate(comparison.groups, start=1)
    ]
    sections += _searches(comparison.groups)
    if comparison.left_out:
        sections.append(Section(heading="Left out", anchor="left-out", notes=comparison.left_out))
    sections.append(Section(heading="How to read this", anchor="reading", notes=READING))
    return render_page(
        title="Comparison of segmentation networks",
        warning=comparison.warning,
        sections=_within_limit(sections),
        facts=comparison.protocol,
    )


def _facts(group: ComparisonGroup, protocol: Mapping[str, str]) -> list[str]:
    """Tell the protocol of what was measured now; where all is earlier, it is of nothing here."""
    if all(network.is_earlier for network in group.networks):
        return []
    return [f"{name}: {protocol[name]}" for name in _BESIDE_THE_NUMBERS if name in protocol]


def _section(group: ComparisonGroup, *, anchor: str, facts: Sequence[str]) -> Section:
    scenes, grids = scenes_of(group), grids_of(group)
    truth = (*true_scenes_of(group), *(s for n in group.networks for s in n.graded_scenes))
    attributions = [scene.attribution for scene in truth if scene.attribution]
    records, columns = run_table(group)
    borders, calibration = border_table(group), calibration_table(group)
    confused, forms = confusion_table(group), form_table(group)
    return Section(
        heading=group.heading,
        anchor=anchor,
        verdict=tuple(verdict(group)),
        text=" ".join([shared_text(group), *(f"{fact}." for fact in facts)]),
        chart=_chart(group),
        tables=(
            _table(group.records, score_columns(group), has_anchors=True),
            *([_table(*borders, caption="At borders")] if borders[0] else []),
            *_class_tables(group),
            *(
                table
                for caption, gains in gains_of(group).items()
                for table in _gain_tables(caption, gains, group)
            ),
            *([_table(*calibration, caption="Calibration")] if calibration[0] else []),
            *([_table(*confused, caption="Confusions")] if confused[0] else []),
            *([_table(*forms, caption="Forms")] if forms[0] else []),
            *(
                _table(
                    each.records, each.columns, caption=each.caption, bars=_stage_bars(each.records)
                )
                for each in stage_tables(group)
            ),
            *(
                _table(each.records, each.columns, caption=each.caption)
                for each in offline_tables(group)
            ),
            _table(records, columns, caption="Where the rows come from"),
        ),
        classes=classes_of(group),
        scenes=scenes,
        grids=grids,
        figures=(*_reliability(group), *_fields(group)),
        attribution=" ".join(
            [
                *([_CHOICE_OF_SCENES] if scenes else []),
                *([RULE, ERRORS] if grids else []),
                *dict.fromkeys(attributions),
            ]
        ),
        notes=tuple(notes_of(group)),
    )


def _reliability(group: ComparisonGroup) -> tuple[Picture, ...]:
    """Draw accuracy by confidence, where it was asked for."""
    curves = {
        row_name(row): result.bins
        for network in group.networks
        for row, result in zip(network.rows, network.calibration, strict=False)
    }
    if not curves:
        return ()
    drawn = svg_text(draw_reliability(curves)).encode()
    label = "right pixels by the probability of the predicted class"
    return (Picture(label=label, content=drawn, kind="svg+xml"),)


def _fields(group: ComparisonGroup) -> tuple[Picture, ...]:
    """Show what the networks see of an image, where it was asked for."""
    drawn = draw_fields(group)
    if drawn is None:
        return ()
    label = "receptive fields: what the pixel in the centre sees of an image"
    return (Picture(label=label, content=svg_text(drawn).encode(), kind="svg+xml"),)


def _searches(groups: Sequence[ComparisonGroup]) -> list[Section]:
    """Show each search that a network comes from once, with all the networks that do."""
    found = {
        network.search.folder: network.search
        for group in groups
        for network in group.networks
        if network.search is not None
    }
    names = {
        folder: dict.fromkeys(
            network.rows[0].label
            for group in groups
            for network in group.networks
            if network.search is not None and network.search.folder == folder
        )
        for folder in found
    }
    return [
        Section(
            heading=f"The search that found {', '.join(names[folder])}",
            anchor=f"s{number}",
            verdict=search.doubts or ("The search itself sees no reason to doubt its decision.",),
            text=f"{search.summary} Run folder: {folder}.",
            figures=tuple(
                Picture(label=meaning, content=content, kind=kind)
                for meaning, kind, content in search.figures
            ),
        )
        for number, (folder, search) in enumerate(found.items(), start=1)
    ]


def _within_limit(sections: Sequence[Section]) -> list[Section]:
    """Leave out the pictures of a part that would make the page too large, and say so."""
    left, kept = _MAX_PICTURES, []
    for section in sections:
        for name in ("scenes", "grids", "figures"):
            size = sum(len(picture.content) for picture in section.pictures(name))
            if size <= left:
                left -= size
                continue
            note = (
                f"{len(section.pictures(name))} pictures are left out, for the page would be too "
                "large; compare fewer networks, or look into the run folders."
            )
            section = replace(section, notes=(*section.notes, note), **{name: ()})
        kept.append(section)
    return kept


def _table(
    records: Sequence[Record],
    columns: Sequence[Column],
    *,
    caption: str = "",
    bars: Bars | None = None,
    has_anchors: bool = False,
) -> Table:
    return Table(
        frame=readable_frame(records, columns),
        words=frozenset(column.heading for column in columns if column.kind == "text"),
        caption=caption,
        bars=bars,
        has_anchors=has_anchors,
    )


def _stage_bars(records: Sequence[Record]) -> Bars | None:
    """Draw the stages of each row's time, and how the whole varied from run to run."""
    stages = {key: name for key, name in _STAGES.items() if any(r.get(key) for r in records)}
    rows = [
        Bar(
            parts=tuple(record[key] or 0.0 for key in stages),
            spread=tuple(record["total_latency_quantiles_ms"]),
        )
        for record in records
    ]
    return bars_of(tuple(stages.values()), "ms", rows)


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


def _gain_tables(caption: str, gains: Sequence[Gain], group: ComparisonGroup) -> list[Table]:
    """A table of what a setting gains, and one of what it does to each class."""
    heat = Heat(
        names=group.networks[0].class_names,
        columns={gain.label: gain.classes for gain in gains},
        missing=MISSING,
        is_change=True,
    )
    return [
        _table(*gain_table(gains), caption=caption),
        Table(heat=heat, caption=f"{caption}: IoU of each class (points)"),
    ]


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
            "latency": row.total_latency_median_ms if row.has_time_here else None,
            "macs": row.macs,
            "memory": row.memory_mib if row.has_time_here else None,
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
