"""What is compared, and the comparison itself."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

from autoseg.architecture import Architecture, shipped
from autoseg.atomic import require_writable
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.cli.outputs import refuse_clashes
from autoseg.commands.border_choice import chosen_borders
from autoseg.commands.compare_options import require_read
from autoseg.commands.cpu_threads import pinned_threads
from autoseg.comparison import (
    Case,
    Comparison,
    Subject,
    TimingConfig,
    earlier_networks,
    group_networks,
    group_table_markdown,
    measure_networks,
    possible_outputs,
    search_history,
    trained_subject,
    untrained_subject,
    verdict,
    write_comparison,
)
from autoseg.comparison.group_key import size_text
from autoseg.comparison.receptive_fields import ReceptiveField, measure_receptive_field
from autoseg.comparison.searches import SearchHistory
from autoseg.config import DataConfig
from autoseg.config.diagnosis import DiagnosisConfig
from autoseg.data import SegmentationDataset, build_dataset, build_split
from autoseg.errors import UsageError
from autoseg.evaluation import Views, Windows
from autoseg.export import forms_of
from autoseg.foreign_text import folder_name
from autoseg.networks import networks_called, require_family
from autoseg.reporting.publishing import published_command
from autoseg.requests import CompareRequest
from autoseg.runs import (
    Progress,
    describe_environment,
    find_runs,
    load_record,
    processor_name,
    seed_everything,
)
from autoseg.trained import NetworkChoice, RetrainedNetwork, search_that_found
from autoseg.tuning import ChosenCRF, choose_crf, choose_crf_behind

_WEIGHTS = {
    "best": "those of the best validation during the training, on images of the val split, so that "
    "scores on val are optimistic",
    "last": "the last ones of the training, which no score has chosen",
}
"""What the protocol says of the weights of runs."""
_SEARCH_DEPTH = 2
"""Folders below a place at which a search's run folder is looked for: further down lie data."""


def run_compare(request: CompareRequest, *, command: Sequence[str]) -> Comparison:
    """Measure everything that was asked for.

    Raises:
        UsageError: If there is nothing to compare, a name, folder or device is not there, or an
            architecture's file would be replaced.
        OSError: If --out cannot be written: before the measurements, which take long.
    """
    device = resolve_device(request.device)
    with pinned_threads(request.threads, device):
        return _compare(request, device, command=command)


def _compare(
    request: CompareRequest, device: torch.device, *, command: Sequence[str]
) -> Comparison:
    forms = forms_of(request)
    for form in forms:
        form.require(device)
    asked_views = _asked_views(request)
    earlier = [network for path in request.earlier for network in earlier_networks(path)]
    subjects, left_out = find_subjects(request)
    for sentence in left_out:
        announce(f"left out: {sentence}")
    require_read(request, subjects)
    outputs = possible_outputs(request.out, num_groups=len(subjects) + len(earlier))
    files = [Path(name) for name in request.networks if name.lower().endswith(".json")]
    files += request.earlier
    refuse_clashes([(path, path) for path in outputs], inputs=files, out=request.out)
    require_writable(request.out)
    searches = _searches(subjects, request)
    fields = _receptive_fields(subjects, device) if request.receptive_field else []
    crfs = [_choose_crf(subject, request) for subject in subjects] if request.crf else []
    cases = [
        Case(
            subject=subject,
            form=form,
            crf=chosen.parameters.build().to(device) if chosen else None,
            crf_text=chosen.text if chosen else "",
            crf_notes=_crf_notes(chosen, request) if chosen else (),
            views=views,
            receptive_field=field if views is None else None,
            search=search,
        )
        for subject, chosen, field, search in zip(
            subjects,
            crfs or [None] * len(subjects),
            fields or [None] * len(subjects),
            searches,
            strict=True,
        )
        for form in forms
        for views in (None, *asked_views)
    ]
    total = sum(len(case.subject.indices) + 1 for case in cases)  # one step for counts
    with Progress(total, description="compare", unit="step") as progress:
        measured, no_form = measure_networks(
            cases,
            device=device,
            timing=TimingConfig(
                min_runs=request.min_runs,
                min_seconds=request.min_seconds,
                batch_size=request.batch,
                image_size=request.size,
                has_offline="offline" in request.scenario,
            ),
            progress=progress,
            new_borders=chosen_borders(request),
            diagnosis=request.pick(DiagnosisConfig),
        )
    if not measured:
        raise UsageError("nothing was measured:\n  " + "\n  ".join(no_form))
    return Comparison(
        groups=tuple(group_networks([*measured, *earlier])),
        left_out=(*left_out, *no_form),
        protocol=_protocol(request, command, device, subjects, crfs),
        environment=describe_environment(),
    )


def _receptive_fields(subjects: Sequence[Subject], device: torch.device) -> list[ReceptiveField]:
    fields = []
    with Progress(len(subjects), description="receptive fields", unit="network") as progress:
        for subject in subjects:
            fields.append(measure_receptive_field(subject, device=device))
            progress.update()
    return fields


def _asked_views(request: CompareRequest) -> list[Views]:
    """Return the views that every network is to be seen in as well; none if nobody asked."""
    windows = None if request.window is None else Windows.sized(request.window, None)
    views = Views(scales=request.scales or (1.0,), flip=request.flip, windows=windows)
    if views != Views():
        return [views]
    request.refuse(
        ("scales",),
        "by itself 1 is the image at its own size, which every network is scored on; name other "
        "factors as well, or leave it out.",
    )
    return []


def _searches(subjects: Sequence[Subject], request: CompareRequest) -> list[SearchHistory | None]:
    """Read for each network from a search what that search says, where its run is found."""
    trained = [subject.trained and subject.trained.run for subject in subjects]
    # The search lies under --runs, or beside the retraining, whose networks lie in its folder.
    near = {request.runs, *(run.folder.parent.parent for run in trained if run is not None)}
    found = {
        run.resolve(): run
        for place in near
        for run in find_runs(place, kind="search", max_depth=_SEARCH_DEPTH)
    }
    folders = sorted(found.values(), key=lambda run: load_record(run)["created"])
    histories: list[SearchHistory | None] = []
    for run in trained:
        architecture = None if run is None else run.choice.architecture
        folder = None if architecture is None else search_that_found(architecture, folders)
        try:
            histories.append(None if folder is None else search_history(folder))
        except (ValueError, OSError) as error:
            announce(f"the search in {folder} is not shown: {error}")
            histories.append(None)
    return histories


def tables_of(comparison: Comparison) -> str:
    """Write the tables, and what a reader must know of them, for a terminal."""
    blocks = []
    for group in comparison.groups:
        blocks += [group.heading, group_table_markdown(group), "\n".join(verdict(group))]
    if comparison.warning:
        blocks.append(comparison.warning)
    return "\n" + "\n\n".join(block for block in blocks if block)


def save_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the documents, after they were shown.

    Returns:
        The files; the last one is the page that shows everything.

    Raises:
        OSError: If the folder cannot be written.
    """
    return write_comparison(comparison, folder)


def find_subjects(request: CompareRequest) -> tuple[list[Subject], list[str]]:
    """List what is to be measured, and a sentence for each run that is left out.

    A run that was named must be whole; one that was only found is left out if it is not.
    """
    subjects: list[Subject] = []
    left_out: list[str] = []
    build = cache(build_split)  # networks of one dataset share it, and the images that it keeps
    for folder in _folders(request):
        try:
            subjects.append(_subject_of_run(folder, request, build))
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


def _subject_of_run(
    folder: Path,
    request: CompareRequest,
    build: Callable[[DataConfig, str], SegmentationDataset],
) -> Subject:
    run = RetrainedNetwork.open(folder)
    # Drawn scenes have no folder; the option is for the other runs then.
    is_drawn = run.config.get("dataset") == "synthetic"
    return trained_subject(
        run,
        split=request.split,
        limit=request.limit or 0,
        data_root=None if is_drawn else request.data_root,
        weights=request.weights,
        build=build,
    )


def _choose_crf(subject: Subject, request: CompareRequest) -> ChosenCRF:
    if subject.trained is None:
        return choose_crf(request, None)
    return choose_crf_behind(subject.trained.run, request, weights=subject.trained.weights)


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
        subjects.append(untrained_subject(choice, dataset=dataset, image_scale=image_scale))
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
    if all(choice.architecture is None for choice in choices):
        request.refuse(
            ("filter_multiplier",),
            "only the cells of an architecture have it, and --networks names none; leave it out.",
        )
    return choices


def _protocol(
    request: CompareRequest,
    command: Sequence[str],
    device: torch.device,
    subjects: Sequence[Subject],
    crfs: Sequence[ChosenCRF],
) -> dict[str, str]:
    environment = describe_environment()
    git = environment["git"]
    versions = {name: version for name, version in environment["versions"].items() if version}
    if git is None:
        commit = "not a checkout"
    else:
        commit = git["commit"] + (" and uncommitted changes" if git["dirty"] else "")
    calibration = {
        "int8": f"ranges by {request.calibration_images} images of the training split, or all of "
        "fewer; of networks without a run by those of the split here"
    }
    return {
        "Command": published_command(command),
        "Commit": commit,
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Device": f"{device}, {processor_name(device)}; "
        f"CPU threads of torch: {torch.get_num_threads()}",
        "Date": datetime.now(UTC).isoformat(timespec="seconds"),
        "Weights": _weights_text(request, subjects),
        "Latency": _latency_text(request),
        **(calibration if "int8" in request.dtype else {}),
        "CRF": "; ".join(dict.fromkeys(crf.text for crf in crfs)) or "not measured (--no-crf)",
    }


def _weights_text(request: CompareRequest, subjects: Sequence[Subject]) -> str:
    """Say which weights were measured, of networks with a run and of those without one."""
    num_trained = sum(subject.trained is not None for subject in subjects)
    if num_trained == 0:
        return "random ones: no network that was measured has been trained"
    rest = "" if num_trained == len(subjects) else "; of networks without a run random ones"
    return _WEIGHTS[request.weights] + rest


def _latency_text(request: CompareRequest) -> str:
    """Say in which scenarios networks were timed, on how many images of which size, how long."""
    images = "one image" if request.batch == 1 else f"{request.batch} images"
    scenario = "single-stream, " if request.batch == 1 else ""
    at_size = f" at {size_text(request.size)}" if request.size else ""
    text = (
        f"{scenario}{images} a call{at_size}, warmed up, at least {request.min_runs} runs and "
        f"{request.min_seconds:g} s each, networks in turn, on the first image of the split"
    )
    if "offline" in request.scenario:
        text += "; offline, copies of that image in the largest batch, networks one by one"
    return text
