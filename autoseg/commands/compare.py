"""What is compared, and the comparison itself."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoseg.architecture import Architecture, shipped
from autoseg.atomic import require_writable
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.cli.outputs import refuse_clashes
from autoseg.commands.crf_choice import ChosenCRF, choose_crf, choose_crf_of_run
from autoseg.commands.networks import NetworkChoice, dataset_of, load_network, retrained_choice
from autoseg.comparison import (
    Comparison,
    Subject,
    TimingChoice,
    Trained,
    group_networks,
    measure,
    possible_outputs,
)
from autoseg.data import SegmentationDataset, build_dataset
from autoseg.errors import UsageError
from autoseg.foreign_text import folder_name
from autoseg.networks import networks_called, require_family
from autoseg.reporting.publishing import published_command
from autoseg.requests import CompareRequest
from autoseg.runs import (
    Progress,
    describe_environment,
    find_runs,
    load_record,
    load_weights_metadata,
    reading_record,
    schema,
    seed_everything,
)
from autoseg.training.validation import spread_indices


def run_compare(request: CompareRequest, *, command: Sequence[str]) -> Comparison:
    """Measure everything that was asked for.

    Raises:
        UsageError: If there is nothing to compare, a name, folder or device is not there, or an
            architecture's file would be replaced.
        OSError: If --out cannot be written: before the measurements, which take long.
    """
    device = resolve_device(request.device)
    subjects, left_out = find_subjects(request)
    outputs = possible_outputs(request.out, num_groups=len(subjects))
    files = [Path(name) for name in request.networks if name.lower().endswith(".json")]
    refuse_clashes([(path, path) for path in outputs], inputs=files, out=request.out)
    require_writable(request.out)
    for sentence in left_out:
        announce(f"left out: {sentence}")
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
                    progress=progress,
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


_CONFIG = schema.fields(
    {"dataset": schema.text, "num_steps": schema.whole(1)},
    {
        "loss": schema.list_of(schema.text),
        "class_weights": schema.optional(schema.text),
        "weights": schema.optional(schema.fields(allowed={"file": schema.text})),
    },
)
_RESULTS = schema.fields({"best_step": schema.whole()})
"""What a comparison reads of a run beside what builds its network."""


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
            f"{folder} is {results.get('note', 'a sanity check')}; it is not compared. Retrain the "
            "network without --overfit, and compare that run."
        )
    with reading_record(folder, "a record of a finished retraining"):
        _CONFIG(config, "config")
        _RESULTS(results, "results")
    # Drawn scenes have no folder; the option is for the other runs then.
    data_root = None if config["dataset"] == "synthetic" else request.data_root
    dataset = dataset_of(folder, request.split, data_root=data_root)
    return _subject(
        retrained_choice(folder),
        load_network(folder, which="best"),
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


def _subject(
    choice: NetworkChoice,
    network: nn.Module,
    *,
    dataset: SegmentationDataset,
    indices: tuple[int, ...],
    image_scale: float,
    trained: Trained | None,
) -> Subject:
    return Subject(
        name=choice.label,
        width=choice.width,
        filter_multiplier=None if choice.architecture is None else choice.filter_multiplier,
        has_crf_layer=choice.crf_layer is not None,
        network=network,
        dataset=dataset,
        indices=indices,
        image_scale=image_scale,
        trained=trained,
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
    for choice in _choices_without_run(request):
        seed_everything(0)  # weights are random, and decide neither counts nor times
        network = choice.build(dataset.num_classes).eval()
        subjects.append(
            _subject(
                choice,
                network,
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


def _choices_without_run(request: CompareRequest) -> list[NetworkChoice]:
    """Find networks by name, families over encoders, and architectures by name or file."""
    width = 1.0 if request.width is None else request.width
    architectures = shipped("architectures", ".json")
    choices: list[NetworkChoice] = []
    fixed: list[str] = []
    for name in request.networks:
        if name in architectures or name.lower().endswith(".json"):
            choices.append(
                NetworkChoice(
                    label=folder_name(Path(name).stem),
                    architecture=Architecture.load(name),
                    width=width,
                    filter_multiplier=request.filter_multiplier or 20,
                )
            )
            continue
        fixed.append(name)
        networks = networks_called(name, request.encoder, option="--networks", others=architectures)
        choices += [NetworkChoice.named(network, width=width) for network in networks]
    require_family(fixed, request.encoder, option="--networks")
    return choices


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
