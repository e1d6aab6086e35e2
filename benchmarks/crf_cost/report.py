"""Rows as tables, and everything that a reader needs to believe them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from search_cost.peer import peer_commit

from autoseg.atomic import atomic_write
from autoseg.data import SegmentationDataset
from autoseg.reporting.publishing import published_command
from autoseg.reporting.tables import Column, to_csv, to_markdown
from autoseg.runs import describe_environment
from autoseg.runs.json_values import to_json

from .accuracy import NUM_ITERATIONS, pooled_rows
from .scenes import DESCRIPTION
from .setting import CASES, PARAMETER_SETS, AccuracyRow, CostRow

COST_COLUMNS = (
    Column(key="method", heading="Method"),
    Column(key="parameters", heading="Parameters"),
    Column(key="num_iterations", heading="Iterations", kind="exact"),
    Column(key="num_threads", heading="Threads", kind="exact"),
    Column(key="median_ms", heading="Time", kind="number", unit="ms, median"),
    Column(key="min_ms", heading="Smallest", kind="number", unit="ms"),
    Column(key="max_ms", heading="Largest", kind="number", unit="ms"),
    Column(key="num_repeats", heading="Runs", kind="exact"),
    Column(key="speedup", heading="Speed", kind="number", unit="pydensecrf = 1"),
    Column(key="memory_mib", heading="Extra peak memory", kind="number", unit="MiB"),
)
ACCURACY_COLUMNS = (
    Column(key="method", heading="Method"),
    Column(key="parameters", heading="Parameters"),
    Column(key="mean_error", heading="Mean error", kind="number"),
    Column(key="p999_error", heading="99.9th percentile", kind="number"),
    Column(key="argmax_share", heading="Other class", kind="percent"),
    Column(key="mean_ratio", heading="Mean error", kind="number", unit="pydensecrf = 1"),
    Column(key="worst_mean_ratio", heading="The same, worst image", kind="number"),
    Column(key="argmax_ratio", heading="Other class", kind="number", unit="pydensecrf = 1"),
    Column(key="changed_share", heading="Changed by the exact CRF", kind="percent"),
)

READING = (
    "Time: from probabilities in memory to marginals in memory, everything included: logarithm, "
    "building the filters for this image, normalisation, all updates, and the result as one array. "
    "In each round every method runs once on every task, in one process; a first round is not "
    "counted, unless a run took so long that it stays the only one. Speed: the median over the "
    "rounds of pydensecrf's time over the method's. pydensecrf always uses one thread.",
    "fast, accurate, exact, local: modes of autoseg.crf.DenseCRF; fused and torch are back ends. "
    "local and exact have the torch one. all-pixels: each update computes every pixel "
    "(subsample_above None); otherwise every other one where a pixel has many like it.",
    "Extra peak memory: what a run took at most beyond the level before, on the CPU the resident "
    "memory of a process that does nothing else, which holds the inputs already.",
    "Error: |Q - exact Q| over all pixels, classes and images, where exact is the sum over all "
    "pairs of pixels with the same parameters and normalisation. Other class: share of pixels whose"
    " most likely class is not that of the exact CRF. The maximum is not shown: for every lattice "
    "it is near 1, because a few undecided pixels flip.",
    "local sums over a window of 11 x 11 pixels whatever the standard deviations are: its distance "
    "from the exact CRF is that of another model, not an error of arithmetic.",
    "convcrf: Teichmann and Cipolla's ConvCRF, unmodified, with its default configuration, on the "
    "CPU. It is another model: its own deviations, no normalisation of the kernels, scores instead "
    "of a distribution. So it has no error, and the share of other classes says how far the two "
    "models are apart, not which is better.",
    DESCRIPTION,
)
"""How the numbers are to be read."""


def costs_markdown(rows: Sequence[CostRow]) -> str:
    """Write a table for each case, and below it what was not measured."""
    blocks = []
    for name in dict.fromkeys(row.case for row in rows):
        own = [row for row in rows if row.case == name]
        shown = [row for row in own if row.median_ms is not None]
        blocks.append(f"### {CASES[name].label}")
        if shown:
            blocks.append(_table(shown, COST_COLUMNS))
        failures = {f"- not measured: {row.method}: {row.failure}" for row in own if row.failure}
        if failures:
            blocks.append("\n".join(sorted(failures)))
    return "\n\n".join(blocks)


def accuracy_markdown(rows: Sequence[AccuracyRow]) -> str:
    """Write the pooled rows as a table, and the number of images behind them."""
    images = {row.image for row in rows} - {row.image for row in pooled_rows(rows)}
    return f"Pooled over {len(images)} images, {NUM_ITERATIONS} iterations.\n\n" + _table(
        pooled_rows(rows), ACCURACY_COLUMNS
    )


def _table(rows: Sequence[Any], columns: Sequence[Column]) -> str:
    records = [dataclasses.asdict(row) for row in rows]
    shown = [
        column for column in columns if any(record[column.key] is not None for record in records)
    ]
    return to_markdown(records, shown)


def describe_run(
    command: Sequence[str],
    dataset: SegmentationDataset,
    *,
    device: str,
    accuracy_size: tuple[int, int],
    convcrf: Path | None,
) -> dict[str, Any]:
    """Return what the numbers depend on, as values that JSON can hold."""
    try:
        pydensecrf = metadata.version("pydensecrf")
    except metadata.PackageNotFoundError:
        pydensecrf = None
    return {
        "command": published_command(command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": f"{dataset.name}, {dataset.split} split",
        "is_real": dataset.name != "synthetic",
        "attribution": dataset.attribution,
        "device": device,
        "accuracy_size": list(accuracy_size),
        "parameters": {name: dataclasses.asdict(each) for name, each in PARAMETER_SETS.items()},
        "pydensecrf": pydensecrf,
        "convcrf_commit": None if convcrf is None else peer_commit(convcrf),
        **describe_environment(),
    }


def protocol_markdown(run: Mapping[str, Any]) -> str:
    """Write `describe_run`'s result as a list."""
    git, hardware = run["git"], run["hardware"]
    commit = "not a checkout"
    if git is not None:
        commit = git["commit"] + (" and uncommitted changes" if git["dirty"] else "")
    versions = {name: version for name, version in run["versions"].items() if version}
    versions |= {"pydensecrf": run["pydensecrf"]} if run["pydensecrf"] else {}
    kind = "photographs" if run["is_real"] else "drawn by the embedded dataset, not photographs"
    device = run["device"]
    if torch.device(device).type == "cuda":
        device += f", {torch.cuda.get_device_name(device)}"
    lines = {
        "Command": f"`{run['command']}`",
        "Images": f"{run['images']} ({kind})",
        "Crops of the accuracy": " x ".join(map(str, run["accuracy_size"])),
        "Source of the images": run["attribution"] or None,
        **{f"Parameters {name}": _parameters(each) for name, each in run["parameters"].items()},
        "Commit": commit,
        "ConvCRF's commit": run["convcrf_commit"],
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Device": f"{device}; {hardware['cpu']}, {hardware['num_usable_cores']} usable cores",
        "Date": run["date"],
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items() if text is not None)


def _parameters(values: Mapping[str, Any]) -> str:
    """Name weights and deviations; the other settings are those of a row."""
    shown = {name: value for name, value in values.items() if name.endswith(("weight", "std"))}
    return ", ".join(f"{name} {value:g}" for name, value in shown.items())


def write_results(
    folder: Path,
    costs: Sequence[CostRow],
    accuracy: Sequence[AccuracyRow],
    run: Mapping[str, Any],
) -> list[Path]:
    """Write crf.csv, crf_accuracy.csv, crf.md and crf.json; what was not measured is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    document = ["# Dense CRF: time, memory and accuracy"]
    contents = {}
    if costs:
        document += ["## Time and memory", costs_markdown(costs)]
        contents["crf.csv"] = _csv(costs)
    if accuracy:
        document += ["## Distance from the exact CRF", accuracy_markdown(accuracy)]
        contents["crf_accuracy.csv"] = _csv(accuracy)
    document += ["## How to read this", "\n".join(f"- {line}" for line in READING)]
    document += ["## Protocol", protocol_markdown(run)]
    record = to_json({**run, "costs": list(costs), "accuracy": list(accuracy)}, where="crf.json")
    contents["crf.md"] = "\n\n".join(document) + "\n"
    contents["crf.json"] = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    for name, content in contents.items():
        atomic_write(folder / name, content.encode())
    return [folder / name for name in contents]


def _csv(rows: Sequence[CostRow] | Sequence[AccuracyRow]) -> str:
    names = [field.name for field in dataclasses.fields(rows[0])]
    columns = [Column(key=name, heading=name) for name in names]
    return to_csv([dataclasses.asdict(row) for row in rows], columns)
