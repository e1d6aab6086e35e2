"""Compare networks by accuracy and cost: `python benchmarks/compare.py --help`."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from measuring import Subject, TimingChoice, Trained, measure
from publishing import published_command

from autoseg.architecture import Architecture, shipped
from autoseg.atomic import require_writable
from autoseg.cli import OK, read_request, resolve_device, run_command
from autoseg.config.crf import CRFChoice
from autoseg.data import SegmentationDataset, build_dataset
from autoseg.errors import UsageError, unknown_name
from autoseg.foreign_text import folder_name
from autoseg.jobs.crf import ChosenCRF, choose_crf, choose_crf_of_run
from autoseg.jobs.networks import NetworkChoice, dataset_of, load_network
from autoseg.networks import NETWORKS
from autoseg.reporting.comparison import CSV_COLUMNS, group_networks
from autoseg.reporting.documents import (
    Comparison,
    comparison_latex,
    comparison_markdown,
    comparison_page,
    group_table_markdown,
)
from autoseg.reporting.figure import save_figure
from autoseg.reporting.pareto import draw_pareto
from autoseg.reporting.tables import to_csv
from autoseg.runs import (
    Progress,
    atomic_write,
    describe_environment,
    find_runs,
    load_record,
    load_weights_metadata,
    seed_everything,
)
from autoseg.runs.json_values import to_json
from autoseg.training.validation import spread_indices

PROG = "python benchmarks/compare.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareRequest(CRFChoice):
    """What a user can say to `python benchmarks/compare.py`."""

    run: tuple[Path, ...] = ()
    """Run folders of retrained networks, or folders that hold some; none: all finished ones under
    --runs."""
    networks: tuple[str, ...] = ()
    """Networks without a run, compared by cost alone: fixed ones by name; architectures by name or
    as a file. They may be compared before anything is trained."""
    out: Path = Path("results/compare")
    """Folder for tables, figures and the report."""
    runs: Path = Path("runs")
    """Where runs are looked for."""
    split: Literal["val", "test"] = "val"
    """Split to score. Choose on val, and look at test once, at the end."""
    crf: bool = True
    """Measure each network with the dense CRF as well, with the parameters given here, else those
    that `python -m autoseg.tune` chose for its run, else DeepLab's."""
    limit: int | None = None
    """Score so many images, evenly spread over the split; none: all."""
    data_root: Path | None = None
    """Folder of a dataset that is read from files; none: as in the training."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    min_runs: int = 20
    """Runs behind each latency, at least."""
    min_seconds: float = 1.0
    """Seconds of timing behind each latency, at least."""
    width: float | None = None
    """For --networks: factor on the channels; none: 1, the published size."""
    filter_multiplier: int | None = None
    """For --networks: F of an architecture's cells; none: 20."""
    dataset: str | None = None
    """For --networks: dataset whose classes and image size they are built for; none: that of the
    runs, or synthetic where there are none."""

    def __post_init__(self) -> None:
        for name in ("limit", "min_runs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; it must be at least 1.")
        for name in ("width", "filter_multiplier", "dataset"):
            if getattr(self, name) is not None and not self.networks:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for networks without a run; name some with "
                    "--networks, or leave it out."
                )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        CompareRequest,
        argv,
        prog=PROG,
        description=(
            "Score, count and time retrained networks side by side, with and without the dense "
            "CRF. Writes compare.csv, compare.md, compare.tex, compare.json, compare.png, "
            "compare.svg and report.html; runs that cannot be compared get tables of their own."
        ),
        example=(
            f"{PROG}\n"
            f"{PROG} runs/NAME/searched runs/NAME/icnet_resnet50 --no-crf\n"
            f"{PROG} --networks icnet_resnet50 autodeeplab_paper --dataset camvid"
        ),
        positional=("run",),
    )
    arguments = list(sys.argv[1:] if argv is None else argv)
    comparison = compare(request, command=[*PROG.split(), *arguments])
    for group in comparison.groups:
        print(f"\n{group.key}\n\n{group_table_markdown(group)}")
    if comparison.warning:
        print(f"\n{comparison.warning}")
    sys.stdout.flush()  # writing may fail, and its message comes after the tables
    written = write_comparison(comparison, request.out)
    print("\nwritten: " + " ".join(str(path) for path in written))
    return OK


def compare(request: CompareRequest, *, command: Sequence[str]) -> Comparison:
    """Measure everything that was asked for.

    Raises:
        UsageError: If there is nothing to compare, or a name, folder or device is not there.
        OSError: If --out cannot be written: before the measurements, which take long.
    """
    device = resolve_device(request.device)
    subjects, left_out = find_subjects(request)
    require_writable(request.out)
    for sentence in left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    crfs = [_choose_crf(subject, request) for subject in subjects] if request.crf else []
    timing = TimingChoice(min_runs=request.min_runs, min_seconds=request.min_seconds)
    measured = []
    total = sum(len(subject.indices) + 1 for subject in subjects)  # one step for counts and times
    with Progress(total, description="compare", unit="step") as progress:
        for number, subject in enumerate(subjects, start=1):
            progress.write(f"[{number}/{len(subjects)}] {subject.label}")
            chosen = crfs[number - 1] if crfs else None
            for note in chosen.notes if chosen else ():
                progress.write(note)
            measured.append(
                measure(
                    subject,
                    device=device,
                    crf=chosen.parameters.build().to(device) if chosen else None,
                    crf_text=chosen.text if chosen else "",
                    crf_notes=_crf_notes(chosen, request) if chosen else (),
                    timing=timing,
                    on_image=progress.update,
                )
            )
            progress.update()
    return Comparison(
        groups=tuple(group_networks(measured)),
        left_out=tuple(left_out),
        protocol=_protocol(request, command, device, crfs),
    )


def find_subjects(request: CompareRequest) -> tuple[list[Subject], list[str]]:
    """List what is to be measured, and a sentence for each run that is left out.

    A run that was named must be whole; one that was only found is left out if it is not.
    """
    subjects: list[Subject] = []
    left_out: list[str] = []
    for folder in _folders(request):
        try:
            subjects.append(_subject_of_run(folder, request))
        except ValueError as error:
            if request.run:
                raise
            left_out.append(f"{folder}: {error}")
    subjects += _subjects_without_run(request, subjects)
    if not subjects:
        reasons = "".join(f"\n  {sentence}" for sentence in left_out)
        raise UsageError(
            f"no finished retrain run under {request.runs}/ to compare: run "
            "`python -m autoseg.search` and `python -m autoseg.retrain` first, name a folder "
            f"with --runs, or compare costs alone with --networks NAME.{reasons}"
        )
    return subjects, left_out


def _folders(request: CompareRequest) -> list[Path]:
    if not request.run:
        return find_runs(request.runs, kind="retrain")
    folders: list[Path] = []
    for folder in request.run:
        found = find_runs(folder, kind="retrain")
        if not found:
            kind = load_record(folder)["kind"]  # refuses a folder without any run
            raise UsageError(
                f"{folder} is a {kind} run and holds no retrained network; run "
                "`python -m autoseg.retrain` and name its folder."
            )
        folders += [run for run in found if run not in folders]
    return folders


def _subject_of_run(folder: Path, request: CompareRequest) -> Subject:
    record = load_record(folder)
    config, results = record["config"], record["results"]
    if record["state"] != "finished":
        raise UsageError(
            f"{folder} is not finished ({record['state']}), so its score would say little; finish "
            "it with `python -m autoseg.retrain --resume`."
        )
    if config.get("overfit") is not None:  # records of before the option have no such field
        raise UsageError(
            f"{folder} is {results['note']}; it is not compared. Retrain the network without "
            "--overfit, and compare that run."
        )
    # Drawn scenes have no folder; the option is for the other runs then.
    data_root = None if config["dataset"] == "synthetic" else request.data_root
    dataset = dataset_of(folder, request.split, data_root=data_root)
    return Subject(
        choice=NetworkChoice.from_dict(config["network"]),
        network=load_network(folder, which="best"),
        dataset=dataset,
        indices=tuple(spread_indices(len(dataset), request.limit or 0)),
        image_scale=config["image_scale"],
        trained=Trained(
            folder=folder,
            seed=record["seed"],
            num_steps=config["num_steps"],
            best_step=results["best_step"],
            weights_sha256=load_weights_metadata(folder, "best")["sha256"],
            loss=_describe_loss(config),
            started_from=(config.get("weights") or {}).get("file"),
        ),
    )


def _describe_loss(config: Mapping[str, Any]) -> str:
    """Write a run's loss; records of before there was a choice have none."""
    loss = " + ".join(config.get("loss", ("cross_entropy",)))
    weights = config.get("class_weights")
    return loss if weights is None else f"{loss}, classes weighted by {weights}"


def _choose_crf(subject: Subject, request: CompareRequest) -> ChosenCRF:
    if subject.trained is None:
        return choose_crf(request, None)
    return choose_crf_of_run(request, subject.trained.folder, weights="best")


def _crf_notes(chosen: ChosenCRF, request: CompareRequest) -> tuple[str, ...]:
    """Say what a reader of the tables should know of the choice of parameters."""
    notes = chosen.notes
    if chosen.tuned_on == request.split:
        notes += (
            f"CRF: tuned on {request.split}, so that its score here is optimistic; the test split "
            "knows nothing of the tuning.",
        )
    return notes


def _subjects_without_run(request: CompareRequest, runs: Sequence[Subject]) -> list[Subject]:
    if not request.networks:
        return []
    if request.dataset is None and runs:
        dataset, image_scale = runs[-1].dataset, runs[-1].image_scale  # the newest run's
    else:
        dataset = _dataset(request)
        image_scale = 1.0
    subjects = []
    for name in request.networks:
        choice = _choose(name, request)
        seed_everything(0)  # weights are random, and decide neither counts nor times
        network = choice.build(dataset.num_classes).eval()
        subjects.append(
            Subject(
                choice=choice,
                network=network,
                dataset=dataset,
                indices=(),
                image_scale=image_scale,
                trained=None,
            )
        )
    return subjects


def _dataset(request: CompareRequest) -> SegmentationDataset:
    name = request.dataset or "synthetic"
    data_root = None if name == "synthetic" else request.data_root
    return build_dataset(name, split=request.split, data_root=data_root)


def _choose(name: str, request: CompareRequest) -> NetworkChoice:
    """Find a network by its name, or an architecture by its name or file."""
    width = 1.0 if request.width is None else request.width
    if name in NETWORKS:
        return NetworkChoice(label=name, name=name, width=width)
    architectures = shipped("architectures", ".json")
    if name not in architectures and not name.endswith(".json"):
        raise unknown_name("network", name, [*NETWORKS, *architectures])
    return NetworkChoice(
        label=folder_name(Path(name).stem),
        architecture=Architecture.load(name),
        width=width,
        filter_multiplier=request.filter_multiplier or 20,
    )


def _protocol(
    request: CompareRequest,
    command: Sequence[str],
    device: torch.device,
    crfs: Sequence[ChosenCRF],
) -> dict[str, str]:
    environment = describe_environment()
    git, hardware = environment["git"], environment["hardware"]
    versions = {name: version for name, version in environment["versions"].items() if version}
    if git is None:
        commit = "not a checkout"
    else:
        commit = git["commit"] + (" and uncommitted changes" if git["dirty"] else "")
    processor = hardware["cpu"]
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    return {
        "Command": published_command(command),
        "Commit": commit,
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Device": f"{device}, {processor}; CPU threads of torch: {torch.get_num_threads()}",
        "Date": datetime.now(UTC).isoformat(timespec="seconds"),
        "Weights": "those of the best validation during the training, on images of the val split",
        "Latency": f"batch of 1, warmed up, at least {request.min_runs} runs and "
        f"{request.min_seconds:g} s each",
        "CRF": "; ".join(dict.fromkeys(crf.text for crf in crfs)) or "not measured (--no-crf)",
    }


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write tables, figures, records and the report; the first group's are called "compare".

    Files that an earlier comparison left for groups that are no more are deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("compare*"):
        if re.fullmatch(r"compare(-\d+)?\.(csv|png|svg)", old.name):
            old.unlink()
    written: list[Path] = []
    pictures: list[str | None] = []
    for number, group in enumerate(comparison.groups, start=1):
        name = "compare" if number == 1 else f"compare-{number}"
        written.append(_write(folder / f"{name}.csv", to_csv(group.records, CSV_COLUMNS)))
        if any(record["miou"] is not None for record in group.records):
            paths = save_figure(draw_pareto(group.records, title=str(group.key)), folder / name)
            written += paths
            pictures.append(paths[1].read_text(encoding="utf-8"))
        else:
            pictures.append(None)
    written.append(_write(folder / "compare.md", comparison_markdown(comparison)))
    written.append(_write(folder / "compare.tex", comparison_latex(comparison)))
    content = json.dumps(comparison_record(comparison), indent=2, ensure_ascii=False)
    written.append(_write(folder / "compare.json", content + "\n"))
    written.append(_write(folder / "report.html", comparison_page(comparison, pictures)))
    return written


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was measured as values that JSON can hold."""
    record = {
        "format": "autoseg-comparison",
        "format_version": 1,
        "protocol": comparison.protocol,
        "left_out": comparison.left_out,
        "groups": [
            {"group": str(group.key), "networks": [asdict(network) for network in group.networks]}
            for group in comparison.groups
        ],
    }
    converted = to_json(record, where="comparison")
    assert isinstance(converted, dict)
    return converted


def _write(path: Path, text: str) -> Path:
    atomic_write(path, text.encode())
    return path


if __name__ == "__main__":
    run_command(main)
