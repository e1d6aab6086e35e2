"""From a user's wishes to retrained networks, each in a run folder of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autoseg.architecture import Architecture
from autoseg.cli import resolve_device
from autoseg.data import SegmentationDataset
from autoseg.errors import UsageError, unknown_name
from autoseg.foreign_text import folder_name
from autoseg.jobs.console import announce
from autoseg.jobs.data import DataChoice
from autoseg.jobs.networks import REFERENCES, SEARCHED, NetworkChoice
from autoseg.jobs.overfit import (
    overfit_images,
    overfit_note,
    overfit_recipe,
    without_dropout_,
)
from autoseg.jobs.presets import (
    RETRAIN_PRESETS,
    Preset,
    choose_image_scale,
    choose_preset,
)
from autoseg.jobs.resuming import (
    fields_of,
    folder_to_resume,
    new_folder,
    newest,
    require_same_settings,
)
from autoseg.jobs.starting_weights import StartingWeights, starting_weights
from autoseg.networks import NETWORKS
from autoseg.runs import Run, StopRequest, load_record, seed_everything
from autoseg.training import (
    DivergedError,
    TrainingConfig,
    TrainingResult,
    require_rule_fits,
    retraining_batches,
    train,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainRequest(TrainingConfig, DataChoice):
    """What a user can say to `python -m autoseg.retrain`."""

    network: tuple[str, ...] = ()
    """Fixed networks to train, by name; none together with no --architecture: the newest search's
    architecture, and the references deeplabv3plus_resnet101, duc_hdc_resnet101, icnet_resnet50."""
    architecture: Path | None = None
    """Architecture to train: a search's architecture.json, or the name of a shipped one."""
    preset: Preset = "auto"
    """Sizes and recipe to start from: paper (as published), tiny (minutes on two CPU cores, narrow
    networks), auto (paper for a real dataset on a GPU, otherwise tiny)."""
    width: float | None = None
    """Factor on the channels of fixed networks, and of an architecture's stem and head; none: the
    preset's."""
    filter_multiplier: int | None = None
    """F of an architecture's cells; none: the preset's."""
    drop_path_keep: float | None = None
    """ScheduledDropPath's keep probability in an architecture's last cell at the end of the
    training; 1 is off; none: the preset's."""
    weights: Path | None = None
    """File with the weights that the one network starts from, of torch.save or safetensors: an
    ImageNet classifier's for its encoder (torchvision's or timm's, which fit at --width 1), or a
    whole network's, also of other classes; docs/weights.md; none: random ones."""
    crf_layer: bool = False
    """Follow each network by a dense CRF and train both together (CRF-RNN); NAME is then called
    NAME+crf."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out: Path | None = None
    """Folder for the run folders, one a network; none: a new one under runs/."""
    resume: bool = False
    """Go on with the retraining in --out, or with the newest unfinished one under runs/."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainResult:
    """How the retraining of several networks ended."""

    finished: dict[str, TrainingResult]
    """Results by label."""
    failed: dict[str, str]
    """Error messages by label."""
    is_finished: bool
    """False if it was asked to stop; `--resume` goes on."""
    note: str | None
    """What a reader of the scores must know: that they are a sanity check, and no result."""


def run_retrain(given: Mapping[str, Any], *, command: Sequence[str]) -> tuple[Path, RetrainResult]:
    """Train networks one after the other with one recipe.

    A network whose loss diverges is reported at the end and does not stop the others.

    Args:
        given: Fields of `RetrainRequest` that the user gave.
        command: The command line, for the record.

    Returns:
        The folder of all, and how it ended.
    """
    device = resolve_device(given.get("device", "auto"))
    is_resumed = bool(given.get("resume", False))
    if is_resumed:
        folder = folder_to_resume("retrain-set", given.get("out"))
        settings = load_record(folder)["config"]
        same = {name: value for name, value in given.items() if name != "weights"}
        require_same_settings(same, settings, folder=folder)
    else:
        settings = _resolve(given, device)
        folder = given.get("out") or new_folder("retrain", settings["dataset"])
    training = TrainingConfig(**fields_of(TrainingConfig, {**settings, **given}))
    data = DataChoice(**fields_of(DataChoice, {**settings, **given}))
    choices = [NetworkChoice.from_dict(choice) for choice in settings["networks"]]
    train_dataset, val_dataset = data.build("train"), data.build("val")
    if training.overfit is not None:
        train_dataset = val_dataset = overfit_images(train_dataset, training.overfit)
        announce(f"retrain: {overfit_note(training.overfit)}")
    announce(
        f"retrain: {', '.join(choice.label for choice in choices)}; preset {settings['preset']}, "
        f"dataset {data.dataset} ({len(train_dataset)} training images, "
        f"{train_dataset.num_classes} classes), {device}, in {folder}"
    )
    # Refuse what cannot work before a folder is made.
    retraining_batches(train_dataset, training)
    require_rule_fits(training.class_weights, train_dataset)
    starting = starting_weights(
        given.get("weights"),
        choices,
        num_classes=train_dataset.num_classes,
        resumed=folder if is_resumed else None,
    )
    if not is_resumed:
        settings["weights"] = None if starting is None else starting.record
    opened = (
        Run.resume(folder)
        if is_resumed
        else Run.create(
            folder, kind="retrain-set", command=command, config=settings, seed=training.seed
        )
    )
    finished: dict[str, TrainingResult] = {}
    failed: dict[str, str] = {}
    with opened as whole, StopRequest() as stop:
        for number, choice in enumerate(choices, start=1):
            if stop.requested:
                break
            try:
                result = _train_one(
                    choice,
                    folder / choice.label,
                    command=command,
                    settings={**settings, **asdict(training)},
                    datasets=(train_dataset, val_dataset),
                    starting=starting,
                    device=device,
                    stop=stop,
                    description=f"[{number}/{len(choices)}] {choice.label}",
                )
            except DivergedError as error:
                failed[choice.label] = str(error)
                announce(f"{choice.label}: {error}")
                continue
            if result.is_finished:
                finished[choice.label] = result
        is_finished = len(finished) + len(failed) == len(choices)
        whole.update(results={"failed": failed, "finished": sorted(finished)})
        whole.finish("interrupted" if not is_finished else "failed" if failed else "finished")
    note = None if training.overfit is None else overfit_note(training.overfit)
    return folder, RetrainResult(
        finished=finished, failed=failed, is_finished=is_finished, note=note
    )


def _train_one(
    choice: NetworkChoice,
    folder: Path,
    *,
    command: Sequence[str],
    settings: Mapping[str, Any],
    datasets: tuple[SegmentationDataset, SegmentationDataset],
    starting: StartingWeights | None,
    device: torch.device,
    stop: StopRequest,
    description: str,
) -> TrainingResult:
    """Train one network in its own run folder, from its checkpoint where there is one."""
    training = TrainingConfig(**fields_of(TrainingConfig, settings))
    train_dataset, val_dataset = datasets
    config = {
        **{key: value for key, value in settings.items() if key != "networks"},
        "network": choice.to_dict(),
        "class_names": train_dataset.class_names,
        "palette": train_dataset.palette.tolist(),
    }
    opened = (
        Run.resume(folder)
        if (folder / "run.json").exists()
        else Run.create(folder, kind="retrain", command=command, config=config, seed=training.seed)
    )
    with opened as run:
        if choice.architecture is not None:
            choice.architecture.save(folder / "architecture.json")
        seed_everything(training.seed)
        network = choice.build(train_dataset.num_classes)
        if starting is not None:
            starting.fitted.fill_(network)
        if training.overfit is not None:
            without_dropout_(network)
        network.to(device)
        result = train(
            network,
            run=run,
            config=training,
            train_dataset=train_dataset,
            val_dataset=val_dataset,
            identity={
                "kind": "retrain",
                "network": choice.to_dict(),
                "num_classes": train_dataset.num_classes,
            },
            device=device,
            stop=stop,
            description=description,
        )
        note = {} if training.overfit is None else {"note": overfit_note(training.overfit)}
        run.update(results={**asdict(result), **note})
        run.finish("finished" if result.is_finished else "interrupted")
    return result


def _resolve(given: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Resolve everything that decides the result: preset, networks, recipe, dataset."""
    data = DataChoice(**fields_of(DataChoice, given))
    preset_name = choose_preset(given.get("preset", "auto"), dataset=data.dataset, device=device)
    preset = RETRAIN_PRESETS[preset_name]
    largest = data.build("train").largest_size
    scale = given.get("image_scale", choose_image_scale(preset_name, largest))
    announce(f"retrain: images at {scale:.0%} of their sides (--image-scale)")
    # A crop larger than the images would be padded at every step.
    height, width = (round(side * scale) for side in largest)
    crop = min(preset.training.crop_size[0], height), min(preset.training.crop_size[1], width)
    training = replace(preset.training, image_scale=scale, crop_size=crop)
    num_images = given.get("overfit")
    if num_images is not None:
        training = overfit_recipe(
            training, given, num_images=num_images, image_size=(height, width)
        )
    training = replace(training, **fields_of(TrainingConfig, given))
    if num_images is None:
        announce(f"retrain: crops of {training.crop_size} pixels (--crop-size)")
    networks = _choose_networks(
        tuple(given.get("network", ())),
        given.get("architecture"),
        width=_given_or(given.get("width"), preset.width),
        filter_multiplier=_given_or(given.get("filter_multiplier"), preset.filter_multiplier),
        drop_path_keep=_given_or(
            given.get("drop_path_keep"), preset.drop_path_keep if num_images is None else 1.0
        ),
    )
    if given.get("crf_layer", False):
        networks = [choice.with_crf_layer() for choice in networks]
    return {
        "preset": preset_name,
        "networks": [choice.to_dict() for choice in networks],
        "crf_layer": bool(given.get("crf_layer", False)),
        **asdict(training),
        **asdict(data),
    }


def _given_or(given: Any, default: Any) -> Any:
    return default if given is None else given


def _choose_networks(
    names: Sequence[str],
    architecture: Path | None,
    *,
    width: float,
    filter_multiplier: int,
    drop_path_keep: float,
) -> list[NetworkChoice]:
    """List the networks to train; without a wish, the newest search's and the references."""
    for name in names:
        if name not in NETWORKS:
            raise unknown_name("network", name, NETWORKS)
    found = architecture
    if architecture is None and not names:
        newest_search = newest("search")
        if newest_search is None:
            raise UsageError(
                "no finished search under runs/ to retrain: run `python -m autoseg.search` first, "
                "or name what to train with --architecture FILE or --network NAME "
                f"({', '.join(NETWORKS)})."
            )
        announce(f"retrain: architecture of the newest search, {newest_search}")
        found, names = newest_search / "architecture.json", REFERENCES
    choices = []
    if found is not None:
        label = SEARCHED if found.stem == "architecture" else folder_name(found.stem)
        choices.append(
            NetworkChoice(
                label=label,
                architecture=Architecture.load(found),
                width=width,
                filter_multiplier=filter_multiplier,
                drop_path_keep=drop_path_keep,
            )
        )
    return choices + [NetworkChoice(label=name, name=name, width=width) for name in names]
