"""A comparison as Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from autoseg.comparison.columns import (
    OFFLINE_COLUMNS,
    PROTOCOL_COLUMNS,
    SCORE_COLUMNS,
    STAGE_COLUMNS,
)
from autoseg.comparison.gains import Gain, crf_gains, view_gains
from autoseg.comparison.rows import ComparisonGroup, ComparisonRow
from autoseg.comparison.verdict import row_name, verdict
from autoseg.foreign_text import markdown_text
from autoseg.reporting.tables import (
    MISSING,
    Column,
    format_values,
    split_constant,
    to_latex,
    to_markdown,
)

READING = (
    "Names: F8 is the filter multiplier of a searched network's cells, 20 in the paper's smallest; "
    "x0.125 is the factor on the channels of a fixed network, and of a searched one's stem and "
    "head; without it they are the published ones.",
    "mIoU: from one confusion matrix over all images, at the labels' resolution; classes that "
    "occur in neither prediction nor truth are left out of the mean.",
    "IoU by frequency: weighted by the classes' shares of the true pixels. Mean accuracy: over the "
    "classes that occur in the truth.",
    "IoU within N px of borders (or void): of the pixels within N rows or columns of another label "
    "(or of a pixel without one). Boundary IoU: of each class's inner bands, 2 % of the diagonal "
    "wide. Surface Dice: share of the surfaces of truth and prediction that lie within so many "
    "pixels of each other. All add up pixels over the images, and average over the classes that "
    "have any.",
    "Seeds: trainings of one network by one recipe on the same images, which differ by their seed "
    "alone, are one row: the mean of their scores, the standard deviation (n - 1) of their mIoU, "
    "and their number. Each training's own mIoU stands in the table of where the rows come from.",
    "What the CRF or several views gain: the row with it less the one without it, as measured; the "
    "time added is that from image to classes. The interval draws the images anew, the same ones "
    "for both. Classes better or worse: those whose IoU rose or fell at all.",
    "Calibration: pixels are put into 15 bins by the probability of their predicted class; the "
    "error is the mean over the bins of how far the share of right pixels lies from the mean "
    "probability, weighted by their pixels.",
    "Images: where they are of several sizes, a heading gives the least and the largest height and "
    "width of those that were scored. Costs (latency, MACs, memory and energy) are of the split's "
    "first image, whose size it gives then, or of that image resized to what was asked for.",
    "MACs: multiply-accumulates of one image; FLOPs are twice that. The CRF is not in them.",
    "Latency: one image, or all those of a call where a heading says how many they are, from "
    "normalised input to classes, resizing and argmax included. Networks are timed in turn, and a "
    "fixed operation between them watches the machine: what was timed while its speed changed is "
    "timed again, or called unsettled and not ranked. The interval of a median draws blocks of "
    "runs anew. The report's bars stack the medians of the stages; below them lie nine of ten runs "
    "(line), half of them (box) and the median.",
    "Host to device: on a GPU, the copy of the normalised images from the host's memory, which the "
    "time of both and the total begin with; on a CPU there is no such stage, and no column.",
    "Peak memory: beyond the weights and the images, from images to classes, by torch's allocator; "
    "of ONNX Runtime and OpenVINO, which have memory of their own, how far that of a new process "
    "rises in its first prediction. Energy: what the GPU's board took for one of the images, what "
    "it takes idle included, where its driver counts it.",
    "Offline (MLPerf's name, not its rules): the largest batch of copies of one image. On a GPU "
    "the largest that nine tenths of the memory hold; on a CPU batches double while that gives 2 % "
    "more images a second, up to 64 and to nine tenths of the free memory. Nothing is ranked by "
    "it.",
    "Receptive field: height and width of the pixels that the logits in the centre can depend on, "
    "exactly. Effective one: side of a square as large as the pixels whose mean absolute gradient "
    "is above 1 - 95.45 % of the largest (Luo et al. 2016); of a network without a run, with "
    "random weights. Both in pixels of what the network sees.",
    "Run by: each row is scored and timed in its own form. Its logits are held against plain "
    "torch's on the first images: the difference is a share of their norm. A form that differs by "
    "more than is allowed is not valid, and not ranked. Cold start: loading or compiling, and the "
    "first prediction; exporting is not in it.",
)
"""How the numbers are to be read."""

_TOLD_ONCE = ("num_averaged",)
"""Score columns that leave the table if all rows have one value."""

_RUN_COLUMNS = (
    Column(key="run", heading="Run"),
    Column(key="weights_sha256", heading="Checksum of the weights"),
)
_TRAINING_SCORES = (
    Column(key="miou", heading="mIoU", kind="percent"),
    Column(key="crf_miou", heading="with CRF", kind="percent"),
)
_CHECKSUM_DIGITS = 12
_STAGES = "Latency by stage"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Everything that a comparison says."""

    groups: tuple[ComparisonGroup, ...]
    """Each has a table of its own."""
    left_out: tuple[str, ...]
    """A sentence for each run that was not compared."""
    protocol: Mapping[str, str]
    """How it was measured: command, revision, versions, hardware, and the CRF's parameters."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Revision, versions and hardware as values, for the record."""

    @property
    def warning(self) -> str | None:
        """What the reader is told if there is more than one group."""
        if len(self.groups) < 2:
            return None
        keys = "; ".join(group.heading for group in self.groups)
        return (
            f"Not everything here can be compared: there are {len(self.groups)} tables, one for "
            f"each of {keys}. Compare numbers inside a table only."
        )


def comparison_markdown(comparison: Comparison) -> str:
    """Write all tables, notes and the protocol as Markdown."""
    blocks = ["# Comparison of segmentation networks"]
    if comparison.warning:
        blocks.append(f"**{markdown_text(comparison.warning)}**")
    for group in comparison.groups:
        blocks.append(f"## {markdown_text(group.heading)}")
        blocks += _bullets(verdict(group))
        blocks.append(group_table_markdown(group))
        stages = stage_tables(group)
        for caption, records, columns in (
            *((caption, *gain_table(gains)) for caption, gains in gains_of(group).items()),
            ("", *border_table(group)),
            ("", *calibration_table(group)),
            ("", *confusion_table(group)),
            ("", *form_table(group)),
            *((each.caption if len(stages) > 1 else "", each.records, each.columns)
              for each in stages),
            *((each.caption, each.records, each.columns) for each in offline_tables(group)),
            ("", *run_table(group)),
        ):  # fmt: skip
            blocks += [markdown_text(f"{caption}:")] if caption else []
            blocks += [to_markdown(records, columns)] if records else []
        blocks += _bullets(notes_of(group))
    if comparison.left_out:
        blocks += ["## Left out", *_bullets(comparison.left_out)]
    blocks += ["## How to read this", *_bullets(READING)]
    blocks += ["## Protocol", *_bullets([f"{k}: {v}" for k, v in comparison.protocol.items()])]
    return "\n\n".join(blocks) + "\n"


def group_table_markdown(group: ComparisonGroup) -> str:
    """Write one group's table, under a line of what all its rows share."""
    return (
        f"{markdown_text(shared_text(group))}\n\n{to_markdown(group.records, score_columns(group))}"
    )


def comparison_latex(comparison: Comparison) -> str:
    """Write each group's tables in LaTeX: its scores, and its largest batches where asked for."""
    tables = []
    for group in comparison.groups:
        caption = f"{group.heading}. {shared_text(group)}"
        tables.append(to_latex(group.records, score_columns(group), caption=caption))
        tables += [
            to_latex(each.records, each.columns, caption=f"{group.heading}. {each.caption}")
            for each in offline_tables(group)
        ]
    return "\n".join(tables)


def score_columns(group: ComparisonGroup) -> list[Column]:
    """The columns in which a row has a value, less those told once for all rows."""
    records = group.records
    if all(record["num_seeds"] in (None, 1) for record in records):
        records = [{**record, "num_seeds": None} for record in records]
    varying, constant = split_constant(records, SCORE_COLUMNS)
    return [
        column
        for column in SCORE_COLUMNS
        if column in varying or (column in constant and column.key not in _TOLD_ONCE)
    ]


def shared_text(group: ComparisonGroup) -> str:
    """Say what all trainings of a group share."""
    told_once = [column for column in SCORE_COLUMNS if column.key in _TOLD_ONCE]
    records = [
        asdict(row)
        for network in group.networks
        for training in network.trainings
        for row in training.rows
    ]
    _, constant = split_constant(records, [*told_once, *PROTOCOL_COLUMNS])
    parts = []
    for column in constant:
        _, texts = format_values([record[column.key] for record in records], column)
        value = next(text for text in texts if text != MISSING)
        parts.append(f"{column.heading.lower()} {value}")
    text = f"In all rows: {', '.join(parts)}."
    crf = {record["crf"] for record in group.records if record["crf"]}
    return " ".join([text, *(f"Dense CRF: {parameters}." for parameters in sorted(crf))])


def run_table(group: ComparisonGroup) -> tuple[list[dict], list[Column]]:
    """One line a training: what differs in how it was made, where it lies, and its own score."""
    records = [
        _training_record(training.rows, label=network.rows[0].label)
        for network in group.networks
        for training in network.trainings
    ]
    varying, _ = split_constant(records, PROTOCOL_COLUMNS)
    scores = []
    if any(network.members for network in group.networks):
        scores = [column for column in _TRAINING_SCORES if any(r[column.key] for r in records)]
    return records, [Column(key="label", heading="Network"), *scores, *varying, *_RUN_COLUMNS]


def _training_record(rows: Sequence[ComparisonRow], *, label: str) -> dict:
    """Return what both rows of a training share, with the checksum cut to a readable length."""
    row = rows[0]
    record = {c.key: getattr(row, c.key) for c in (*PROTOCOL_COLUMNS, *_RUN_COLUMNS)}
    checksum = (row.weights_sha256 or "")[:_CHECKSUM_DIGITS] or None
    scores = {"miou": row.miou, "crf_miou": rows[-1].miou if rows[-1].has_crf else None}
    return {**record, **scores, "label": label, "weights_sha256": checksum}


class StageTable(NamedTuple):
    """Times of the rows that one machine has measured."""

    caption: str
    """Names the machine where there are several."""
    records: list[dict[str, Any]]
    """One a row."""
    columns: list[Column]
    """Those in which a row has a value."""


def stage_tables(group: ComparisonGroup) -> list[StageTable]:
    """One table a machine, one line a row: the stages of its time, and what the whole varies by.

    The machine of most rows comes first.
    """
    rows = [row for network in group.networks for row in network.rows]
    machines = dict.fromkeys(row.machine for row in sorted(rows, key=_is_elsewhere))
    tables = []
    for machine in machines:
        records = [{**asdict(row), "name": row_name(row)} for row in rows if row.machine == machine]
        varying, constant = split_constant(records, STAGE_COLUMNS)
        columns = [c for c in STAGE_COLUMNS if c in varying or c in constant]
        caption = _STAGES + (f", on {machine}" if len(machines) > 1 else "")
        tables.append(StageTable(caption, records, columns))
    return tables


def offline_tables(group: ComparisonGroup) -> list[StageTable]:
    """One table a machine, one line a row that has a largest batch; none where nobody asked."""
    tables = []
    for each in stage_tables(group):
        found = [record for record in each.records if record["offline_batch"] is not None]
        records = [record for record in found if record["form_fault"] is None]
        where = each.caption.removeprefix(_STAGES)
        if records:
            columns = [c for c in OFFLINE_COLUMNS if any(r[c.key] is not None for r in records)]
            tables.append(StageTable(f"Offline{where}", records, columns))
    return tables


def _is_elsewhere(row: ComparisonRow) -> bool:
    return row.measured_elsewhere


def border_table(group: ComparisonGroup) -> tuple[list[dict], list[Column]]:
    """One line a row whose borders were scored; no line where none were asked for."""
    records, headings = [], {}
    for network in group.networks:
        for row, results in zip(network.rows, network.borders, strict=False):
            headings |= {result.key: result.heading for result in results}
            scores = {result.key: result.mean for result in results}
            records.append({"name": row_name(row), "miou": row.miou, **scores})
    columns = [
        Column(key="name", heading="Network"),
        Column(key="miou", heading="mIoU", kind="percent"),
        *(Column(key=key, heading=text, kind="percent") for key, text in headings.items()),
    ]
    found = {key for record in records for key, value in record.items() if value is not None}
    return (records if headings else []), [column for column in columns if column.key in found]


def gains_of(group: ComparisonGroup) -> dict[str, list[Gain]]:
    """List what each setting gains, by the caption of its table."""
    gains = {
        "What the CRF gains": crf_gains(group),
        "What several views gain": view_gains(group),
    }
    return {caption: found for caption, found in gains.items() if found}


def gain_table(gains: Sequence[Gain]) -> tuple[list[dict], list[Column]]:
    """One line a network with and without a setting: what it gains, and what a point costs."""
    records, headings = [], {}
    for gain in gains:
        headings |= {each.key: each.heading for each in gain.borders}
        records.append({**asdict(gain), **{each.key: each.mean for each in gain.borders}})
    columns = [
        Column(key="label", heading="Network"),
        Column(key="miou", heading="mIoU", kind="change"),
        Column(key="low", second_key="high", heading="its 95 % interval", kind="change"),
        Column(
            key="added_ms", settled_key="is_settled", heading="Time added", kind="number", unit="ms"
        ),
        Column(key="points_per_ms", heading="a millisecond", kind="number", unit="points"),
        Column(key="num_better", heading="Classes better", kind="exact"),
        Column(key="num_worse", heading="worse", kind="exact"),
        *(Column(key=key, heading=text, kind="change") for key, text in headings.items()),
    ]
    found = {key for record in records for key, value in record.items() if value is not None}
    return records, [column for column in columns if column.key in found]


def calibration_table(group: ComparisonGroup) -> tuple[list[dict], list[Column]]:
    """One line a row: how sure and how right it is; no line where nobody asked."""
    records = [
        {"name": row_name(row), **asdict(result)}
        for network in group.networks
        for row, result in zip(network.rows, network.calibration, strict=False)
    ]
    return records, [
        Column(key="name", heading="Network"),
        Column(key="error", heading="Expected calibration error", kind="percent"),
        Column(key="confidence", heading="Mean confidence", kind="percent"),
        Column(key="accuracy", heading="Right pixels", kind="percent"),
    ]


def confusion_table(group: ComparisonGroup) -> tuple[list[dict], list[Column]]:
    """One line a class that is taken for another; no line where nobody asked."""
    records = [
        {
            "name": row_name(row),
            "true": network.class_names[pair.true],
            "predicted": network.class_names[pair.predicted],
            "share": pair.share,
        }
        for network in group.networks
        for row, pairs in zip(network.rows, network.confusions, strict=False)
        for pair in pairs
    ]
    return records, [
        Column(key="name", heading="Network"),
        Column(key="true", heading="Class"),
        Column(key="predicted", heading="taken for"),
        Column(key="share", heading="Share of its pixels", kind="percent"),
    ]


def form_table(group: ComparisonGroup) -> tuple[list[dict], list[Column]]:
    """One line a network and form; no line where all is plain torch."""
    rows = [network.rows[0] for network in group.networks]
    has_forms = any(row.logits_error is not None for row in rows)
    return [asdict(row) for row in rows] if has_forms else [], [
        Column(key="label", heading="Network"),
        Column(key="backend", heading="Run by"),
        Column(key="dtype", heading="Number format"),
        Column(key="memory_format", heading="Order in memory"),
        Column(key="is_folded", heading="Batch norm folded"),
        Column(key="latency_median_ms", heading="Latency", kind="number", unit="ms"),
        Column(key="cold_start_ms", heading="Cold start", kind="number", unit="ms"),
        Column(key="logits_error", heading="Logits differ by", kind="number"),
        Column(key="logits_tolerance", heading="allowed", kind="number"),
        Column(key="equal_labels", heading="Equal labels", kind="percent"),
        Column(key="form_fault", heading="Not valid, for"),
    ]


def notes_of(group: ComparisonGroup) -> list[str]:
    """Return the notes of all networks, each under its network's name."""
    notes = []
    earlier = [network.rows[0].label for network in group.networks if network.is_earlier]
    if earlier:
        notes.append(
            f"{', '.join(earlier)}: measured by an earlier comparison, whose protocol stands in "
            "its own record and not here."
        )
    for network in group.networks:
        row = network.rows[0]
        notes += [f"{row.label}: {note}" for note in network.notes]
        if row.measured_elsewhere:
            notes.append(
                f"{row.label}: measured on {row.machine}, not on {group.machine} as most here: its "
                "times and memory stand in a table of their own, and are ranked with no others."
            )
    return notes


def _bullets(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {markdown_text(line)}" for line in lines)] if lines else []
