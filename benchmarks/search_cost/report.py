"""Rows as tables, and everything that a reader needs to believe them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from autoseg.atomic import atomic_write
from autoseg.backends import choose_backend
from autoseg.reporting.publishing import published_command
from autoseg.reporting.tables import Column, scaled, significant, to_csv, to_markdown
from autoseg.runs import describe_environment
from autoseg.runs.json_values import to_json

from .calls import RULE
from .peer import peer_commit
from .scaling import FACTOR_NAMES, PowerLaw
from .setting import Row, Setting
from .work import Ceilings, count_work

TABLE_COLUMNS = (
    Column(key="variant", heading="Variant"),
    Column(
        key="weight_min_ms",
        second_key="weight_median_ms",
        heading="Weights",
        kind="number",
        unit="ms, min / median",
    ),
    Column(
        key="arch_min_ms",
        second_key="arch_median_ms",
        heading="Alpha and beta",
        kind="number",
        unit="ms, min / median",
    ),
    Column(
        key="step_min_ms",
        second_key="step_median_ms",
        heading="Step",
        kind="number",
        unit="ms, min / median",
    ),
    Column(
        key="speedup_peer_min",
        second_key="speedup_peer_median",
        heading="Speed",
        kind="number",
        unit="peer = 1, min / median",
    ),
    Column(
        key="speedup_reference_min",
        second_key="speedup_reference_median",
        heading="Speed",
        kind="number",
        unit="reference = 1, min / median",
    ),
    Column(key="warm_up_ms", heading="First step", kind="number", unit="ms"),
    Column(key="memory_mib", heading="Peak memory", kind="number", unit="MiB"),
    Column(key="memory_peer", heading="Less memory", kind="number", unit="peer = 1"),
    Column(key="num_operator_calls", heading="Operator calls", kind="scaled"),
    Column(key="num_kernel_calls", heading="Kernel calls", kind="exact"),
    Column(key="num_gpu_kernels", heading="Kernels on the GPU", kind="exact"),
    Column(key="floor_share", heading="Share of the floor", kind="percent"),
)
"""Columns of the table that is read; those without any value are left out."""

SIZE_COLUMNS = (
    Column(key="num_layers", heading="L", kind="exact"),
    Column(key="filter_multiplier", heading="F", kind="exact"),
    Column(key="crop", heading="Crop", kind="exact", unit="pixels"),
    Column(key="batch_size", heading="Batch", kind="exact", unit="images"),
    Column(key="gflop", heading="Work of a step", kind="number", unit="GFLOP"),
)
"""Columns that a table of several settings has as well."""

CSV_COLUMNS = tuple(Column(key=field.name, heading=field.name) for field in dataclasses.fields(Row))
"""Columns of the CSV: every field of a row, unrounded."""

LAW_COLUMNS = (
    Column(key="variant", heading="Variant"),
    Column(key="factor", heading="Factor x"),
    Column(key="quantity", heading="Quantity"),
    Column(key="coefficient", heading="a", kind="number"),
    Column(key="exponent", heading="b", kind="number"),
    Column(key="largest_error", heading="Largest error", kind="percent"),
    Column(key="num_points", heading="Points", kind="exact"),
)
"""Columns of the table of power laws a * x^b."""

READING = (
    "Step: one first-order search step in training mode on random data, the half-step of the "
    "weights (forward, backward, SGD) and that of alpha and beta (forward, backward, Adam). The "
    "first step, and those up to the capture of a CUDA graph, are not counted.",
    "torch, fused: back ends of the project's supernet, stepped by the search's own code, gradient "
    "clipping included. A half-step computes its own parameters' gradients alone. "
    '"-recompute" keeps the cells\' outputs alone and evaluates cells again backwards; "-graph" '
    "replays the whole step as one CUDA graph.",
    "reference: the edge-by-edge version that the tests compare with, on the same parameters. It "
    "computes all gradients in both half-steps and keeps no running statistics. It is written to "
    "be read: its batch norm is a dozen operators, so that it is slower than the peer.",
    "peer: NoamRosenberg/autodeeplab, unmodified but for its CUDA extension, which the search does "
    "not use. It computes all gradients in both half-steps, as its script does. Its network is "
    "close to ours but not the same: its stem is narrower (F * B / 2, F * B / 2 and F * B "
    "channels), and it resizes before a 1x1 convolution where ours has a 3x3 one of stride 2.",
    "Peak memory: what all steps took at most beyond the level before the first: activations, "
    "gradients, the optimizers' state, code that is loaded when it is needed. On the CPU it is the "
    "resident memory of the variant's own process, on a GPU what torch's allocator handed out.",
    f"Calls: {RULE}.",
    "Floor: the larger of the step's FLOPs over the rate of a large matrix product and its traffic "
    "over the rate of a large copy, both measured in this run with the same threads. FLOPs are "
    "those of all convolutions, each result computed once and each gradient only where it is "
    "needed; recomputation and the reference's and the peer's repetitions are not useful work. "
    "Traffic takes each map in front of a batch norm of a cell as written once and read twice, as "
    "if none stayed in a cache.",
)
"""How the numbers are to be read."""


def table_markdown(rows: Sequence[Row], *, with_sizes: bool = False) -> str:
    """Write rows as a Markdown table, and what failed as a list below.

    Args:
        rows: Rows of one setting, or of several.
        with_sizes: Show the sizes too.
    """
    records = [dataclasses.asdict(row) for row in rows]
    columns = [
        column
        for column in (*(SIZE_COLUMNS if with_sizes else ()), *TABLE_COLUMNS)
        if any(record[column.key] is not None for record in records)
    ]
    blocks = [to_markdown(records, columns)]
    failures = [f"- not measured: {row.variant}: {row.failure}" for row in rows if row.failure]
    return "\n\n".join([*blocks, *(["\n".join(failures)] if failures else [])])


def work_sentence(setting: Setting, ceilings: Ceilings, rows: Sequence[Row]) -> str:
    """Say what the step's work and its floor are."""
    work = count_work(
        setting.space,
        crop=setting.crop,
        batch_size=setting.batch_size,
        num_classes=setting.num_classes,
    )
    return (
        f"{significant(work.forward_flops / 1e9)} GFLOP a forward pass, "
        f"{significant(work.step_flops / 1e9)} GFLOP a step; "
        f"{scaled(work.num_elements)} elements in front of the cells' batch norms. "
        f"At {significant(ceilings.gflop_per_s, 3)} GFLOP/s and {significant(ceilings.gb_per_s, 3)}"
        f" GB/s the floor is {significant(rows[0].floor_ms)} ms a step."
    )


def laws_markdown(laws: Sequence[PowerLaw]) -> str:
    """Write the power laws as a Markdown table."""
    words = {"step_min_ms": "step (ms)", "memory_mib": "peak memory (MiB)"}
    records = [
        dataclasses.asdict(law)
        | {"factor": FACTOR_NAMES[law.factor], "quantity": words[law.quantity]}
        for law in laws
    ]
    return to_markdown(records, LAW_COLUMNS)


def describe_run(command: Sequence[str], setting: Setting) -> dict[str, Any]:
    """Return what the numbers depend on besides sizes and ceilings, as JSON can hold it."""
    return {
        "command": published_command(command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "setting": {
            name: getattr(setting, name) for name in ("device", "precision", "num_threads")
        },
        "fused_backend": choose_backend(
            "auto", torch.device(setting.device).type, work="Supernet"
        ).reason,
        "peer_commit": None if setting.peer is None else peer_commit(setting.peer),
        **describe_environment(),
    }


def protocol_markdown(run: Mapping[str, Any]) -> str:
    """Write `describe_run`'s result and the ceilings as a list."""
    git, setting, ceilings = run["git"], run["setting"], run["ceilings"]
    commit = "not a checkout"
    if git is not None:
        commit = git["commit"] + (" and uncommitted changes" if git["dirty"] else "")
    versions = {name: version for name, version in run["versions"].items() if version}
    gpus = "".join(f", {gpu['name']}" for gpu in run["hardware"]["gpus"])
    lines = {
        "Command": f"`{run['command']}`",
        "Commit": commit,
        "Peer's commit": run["peer_commit"],
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Device": f"{setting['device']}, {run['hardware']['cpu']}{gpus}; "
        f"{setting['precision']}, {setting['num_threads']} CPU threads of torch",
        "Fused back end": run["fused_backend"],
        "Ceilings": f"matrix product {significant(ceilings['gflop_per_s'])} GFLOP/s, copy "
        f"{significant(ceilings['gb_per_s'])} GB/s",
        "Date": run["date"],
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items() if text is not None)


def reading_markdown() -> str:
    """Write `READING` as a list."""
    return "\n".join(f"- {line}" for line in READING)


def write_results(
    base: Path,
    rows: Sequence[Row],
    blocks: Sequence[str],
    run: Mapping[str, Any],
    **more: Sequence[Any],
) -> list[Path]:
    """Write rows as CSV, a document as Markdown and everything as JSON.

    Args:
        base: Path without suffix; its folder is made if missing.
        rows: The rows.
        blocks: Paragraphs of the document; how to read it and the protocol are added.
        run: `describe_run`'s result, and the "ceilings".
        more: Further lists for the JSON file, by name.
    """
    base.parent.mkdir(parents=True, exist_ok=True)
    document = [*blocks, "## How to read this", reading_markdown()]
    document += ["## Protocol", protocol_markdown(run)]
    record = to_json({**run, "rows": list(rows), **more}, where=base.name)
    contents = {
        ".csv": to_csv([dataclasses.asdict(row) for row in rows], CSV_COLUMNS),
        ".md": "\n\n".join(document) + "\n",
        ".json": json.dumps(record, indent=2, ensure_ascii=False) + "\n",
    }
    written = []
    for suffix, content in contents.items():
        path = base.with_name(base.name + suffix)
        atomic_write(path, content.encode())
        written.append(path)
    return written
