"""Measure one search step: `python benchmarks/search_step.py --help`.

One first-order step of the search (weights, then alpha and beta) is timed for every implementation
there is, each in its own process: half-step times, peak memory, operator calls, and how far the
machine's own ceilings are. A call that was stopped goes on with what its table lacks.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from search_cost.figures import draw_comparison, draw_scaling
from search_cost.peer import check_peer
from search_cost.report import (
    describe_run,
    laws_markdown,
    table_markdown,
    work_sentence,
    write_results,
)
from search_cost.resuming import Unit, earlier_results, unit_of
from search_cost.running import compare, measure_setting, num_steps, num_warm_up, row_of
from search_cost.scaling import fit_power_laws, scaling_settings
from search_cost.setting import GRAPH_VARIANTS, OWN_VARIANTS, Row, Setting, Variant
from search_cost.work import Ceilings
from search_cost.worker import VariantProcess, measure_ceilings_apart

from autoseg.architecture import SearchSpace
from autoseg.atomic import atomic_write
from autoseg.cli import FAILED, OK, read_request, resolve_device, run_command
from autoseg.config import SEARCH_PRESETS, Precision
from autoseg.errors import UsageError
from autoseg.reporting import save_figure
from autoseg.runs import Progress
from autoseg.training import (
    resolve_precision,
)

PROG = "python benchmarks/search_step.py"

_NUM_CLASSES = 19  # Cityscapes
_NUM_CLASSES_TINY = 12  # the embedded dataset


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRequest:
    """What a user can say to `python benchmarks/search_step.py`."""

    variants: tuple[Variant, ...] = ()
    """Implementations to measure; none: all that the device and --peer allow (torch alone with
    --preset tiny, torch and fused with --scaling)."""
    peer: Path | None = None
    """Checkout of github.com/NoamRosenberg/autodeeplab, to compare with."""
    crop: tuple[int, ...] = ()
    """Heights and widths of the square crops, in pixels, a table each; none: 128, or the preset's.
    The peer works at 64, 65, 128 and 321."""
    batch_size: int | None = None
    """Images a half-step; none: 2, or the preset's."""
    space: str | None = None
    """Search space, by name or as a TOML file; none: autodeeplab_depthwise, which is what the peer
    searches, or with --preset autodeeplab, which is the search's default."""
    preset: Literal["tiny", "paper"] | None = None
    """Start from the sizes of the search's preset instead."""
    layers: int | None = None
    """L; none: the space's."""
    filters: int | None = None
    """F; none: the space's."""
    nodes: int | None = None
    """B; none: the space's."""
    classes: int | None = None
    """Classes; none: 19, or 12 with --preset tiny."""
    repeats: int = 3
    """Counted steps of each variant, after one that warms up."""
    peer_repeats: int | None = None
    """Counted steps of the peer; none: as --repeats."""
    interleaved: bool = True
    """Let the variants take turns, step by step; --no-interleaved needs the memory of one only."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Precision = "fp32"
    """fp32, bf16, or auto: bf16 on a GPU that has it."""
    threads: int | None = None
    """Threads of torch on the CPU; none: as many as torch chooses."""
    scaling: bool = False
    """Measure a grid of sizes instead, and fit how the cost grows with each."""
    profile: Variant | None = None
    """Show torch's profile of one variant instead."""
    out: Path = Path("results/search_step")
    """Folder for search_step.csv, .md, .json, .png and .svg (scaling.* and profile-*.txt). Tables
    are written as soon as rows are known: all of a setting, or one with --no-interleaved. The same
    call measures those alone that the record lacks; name another folder to measure again."""

    def __post_init__(self) -> None:
        numbers = {
            name: getattr(self, name)
            for name in ("batch_size", "classes", "repeats", "peer_repeats", "threads")
        }
        numbers |= {"crop": min(self.crop, default=None)}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; it must be at least 1.")
        if self.scaling and self.profile:
            raise UsageError("--scaling and --profile are two measurements; ask for one.")
        sizes = (self.crop, self.batch_size, self.preset, self.layers, self.filters, self.nodes)
        if self.scaling and any(sizes):
            raise UsageError(
                "--scaling has its own sizes; leave --crop, --layers and the like out."
            )
        if self.peer is None and "peer" in (*self.variants, self.profile):
            raise UsageError("the variant peer needs its checkout; name it with --peer.")

    def chosen_variants(self, *, on_gpu: bool) -> tuple[Variant, ...]:
        """Resolve the variants, each once.

        Raises:
            UsageError: If one needs a GPU and there is none.
        """
        graphs = [variant for variant in self.variants if variant in GRAPH_VARIANTS]
        if graphs and not on_gpu:
            raise UsageError(f"the variant {graphs[0]} is a CUDA graph, which needs a GPU.")
        if self.variants:
            return tuple(dict.fromkeys(self.variants))
        if self.preset == "tiny":
            chosen: tuple[Variant, ...] = ("torch",)
        elif self.scaling:
            chosen = ("torch", "fused")
        else:
            chosen = (*OWN_VARIANTS, *(GRAPH_VARIANTS if on_gpu else ()))
        return (*chosen, "peer") if self.peer is not None else chosen

    @property
    def base(self) -> Path:
        """Path of the tables, without suffix."""
        return self.out / ("scaling" if self.scaling else "search_step")

    def num_repeats(self, variant: Variant) -> int:
        """Return the counted steps of a variant."""
        own = variant != "peer" or self.peer_repeats is None
        return self.repeats if own else self.peer_repeats or self.repeats

    def settings(self) -> list[Setting]:
        """Resolve the sizes: one setting a crop.

        Raises:
            UsageError: If a name, the device or the peer's folder is not there.
        """
        device = resolve_device(self.device)
        name = self.space or ("autodeeplab" if self.preset else "autodeeplab_depthwise")
        space = SearchSpace.load(name, preset=self.preset)
        config = SEARCH_PRESETS[self.preset] if self.preset else None
        sizes = {
            "num_layers": self.layers,
            "filter_multiplier": self.filters,
            "num_nodes": self.nodes,
        }
        default_classes = _NUM_CLASSES_TINY if self.preset == "tiny" else _NUM_CLASSES
        first = Setting(
            space=space,
            num_classes=self.classes or default_classes,
            crop=config.crop_size[0] if config else 128,
            batch_size=self.batch_size or (config.batch_size if config else 2),
            device=str(device),
            precision=resolve_precision(self.precision, device),
            num_threads=self.threads or torch.get_num_threads(),
            peer=self.peer,
        ).with_sizes(**{name: value for name, value in sizes.items() if value is not None})
        if self.peer is not None:
            check_peer(self.peer, first.space)
        if self.scaling:
            return scaling_settings(first)
        return [first.with_sizes(crop=crop) for crop in self.crop] or [first]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        StepRequest,
        arguments,
        prog=PROG,
        description=(
            "Time one first-order search step for every implementation there is, each in its "
            "own process, with its memory, its operator calls and its distance from the "
            "machine's ceilings."
        ),
        example=(
            f"{PROG} --peer ../autodeeplab\n"
            f"{PROG} --preset tiny\n"
            f"{PROG} --scaling\n"
            f"{PROG} --profile fused --crop 64"
        ),
    )
    settings = request.settings()
    if request.profile is not None:
        for setting in settings:
            _profile(request, setting, request.profile)
        return OK
    rows_by_setting, written = _measure(request, settings, [*PROG.split(), *arguments])
    print("\nwritten: " + " ".join(str(path) for path in written))
    rows = [row for rows in rows_by_setting for row in rows]
    return OK if any(row.step_min_ms is not None for row in rows) else FAILED


def _measure(
    request: StepRequest, settings: Sequence[Setting], command: Sequence[str]
) -> tuple[list[list[Row]], list[Path]]:
    """Measure what the record lacks, and write the tables whenever rows are known."""
    variants = request.chosen_variants(on_gpu=settings[0].device != "cpu")
    # Those that take turns are known together, as the ratios of their times need them.
    groups: list[tuple[Variant, ...]] = [variants]
    if not request.interleaved:
        groups = [(variant,) for variant in variants]
    run = describe_run(command, settings[0])
    known: dict[Unit, Row] = {}
    if earlier := earlier_results(request.base.with_suffix(".json"), run):
        run, known = earlier
    else:
        run["ceilings"] = asdict(measure_ceilings_apart(settings[0]))
    ceilings = Ceilings(**run["ceilings"])

    def rows_by_setting() -> list[list[Row]]:
        units = [[unit_of(setting, variant) for variant in variants] for setting in settings]
        return [compare([known[unit] for unit in each if unit in known]) for each in units]

    def steps(group: Sequence[Variant]) -> int:
        return num_steps(group, request.num_repeats)

    todo = [
        (setting, group)
        for setting in settings
        for group in groups
        if not all(unit_of(setting, variant) in known for variant in group)
    ]
    total = len(settings) * steps(variants)
    num_done = total - sum(steps(group) for _, group in todo)
    with Progress(total, description="search step", initial=num_done) as progress:
        for setting, group in todo:
            for measurement in measure_setting(
                setting, group, num_repeats=request.num_repeats, progress=progress
            ):
                unit = unit_of(setting, measurement.variant)
                known[unit] = row_of(measurement, ceilings)
            _write(request, settings, rows_by_setting(), run)
    rows = rows_by_setting()
    written = _write(request, settings, rows, run)
    print("\n" + "\n\n".join(_blocks(request, settings, rows, ceilings)))
    return rows, [*written, *_draw(request, settings, rows)]


def _write(
    request: StepRequest,
    settings: Sequence[Setting],
    rows_by_setting: Sequence[Sequence[Row]],
    run: Mapping[str, Any],
) -> list[Path]:
    """Write table, document and record of the rows so far."""
    rows = [row for rows in rows_by_setting for row in rows]
    heading = "# How the cost of a search step grows" if request.scaling else "# One search step"
    blocks = _blocks(request, settings, rows_by_setting, Ceilings(**run["ceilings"]))
    laws = {"laws": list(fit_power_laws(rows))} if request.scaling else {}
    return write_results(request.base, rows, [heading, *blocks], run, **laws)


def _blocks(
    request: StepRequest,
    settings: Sequence[Setting],
    rows_by_setting: Sequence[Sequence[Row]],
    ceilings: Ceilings,
) -> list[str]:
    """Write the tables of the settings that have rows, or the laws."""
    if request.scaling:
        rows = [row for rows in rows_by_setting for row in rows]
        laws = list(fit_power_laws(rows))
        return [
            f"{_scaling_title(settings)}. Each quantity is fitted as a * x^b, by least squares in "
            "the logarithms.",
            *([laws_markdown(laws)] if laws else []),
            table_markdown(rows, with_sizes=True),
        ]
    blocks = []
    for setting, rows in zip(settings, rows_by_setting, strict=True):
        if rows:
            blocks += [f"## {setting.label}", table_markdown(rows)]
            blocks.append(work_sentence(setting, ceilings, rows))
    return blocks


def _scaling_title(settings: Sequence[Setting]) -> str:
    """Name the setting that all curves share, which is the first."""
    return f"One factor at a time around {settings[0].label}"


def _draw(
    request: StepRequest, settings: Sequence[Setting], rows_by_setting: Sequence[Sequence[Row]]
) -> list[Path]:
    if request.scaling:
        rows = [row for rows in rows_by_setting for row in rows]
        laws = list(fit_power_laws(rows))
        title = _scaling_title(settings)
        return save_figure(draw_scaling(rows, laws, title=title), request.base) if laws else []
    written = []
    for setting, rows in zip(settings, rows_by_setting, strict=True):
        if any(row.step_min_ms is not None for row in rows):
            name = "search_step" if len(settings) == 1 else f"search_step-crop{setting.crop}"
            title = f"One search step: {setting.label}"
            written += save_figure(draw_comparison(rows, title=title), request.out / name)
    return written


def _profile(request: StepRequest, setting: Setting, variant: Variant) -> None:
    """Print torch's table of the operators of one warm step, and write it."""
    with VariantProcess(setting, variant) as process:
        for _ in range(num_warm_up(variant)):
            process.step()
        table = process.profile()
    request.out.mkdir(parents=True, exist_ok=True)
    path = request.out / f"profile-{variant}-crop{setting.crop}.txt"
    text = f"{variant}, {setting.label}, {setting.device}, {setting.num_threads} threads\n{table}"
    atomic_write(path, text.encode())
    print(f"{text}\nwritten: {path}")


if __name__ == "__main__":
    run_command(main)
