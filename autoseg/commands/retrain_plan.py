"""From what a user says to what a retraining will do, with nothing left open."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autoseg.cli.console import announce
from autoseg.commands.presets import choose_image_scale, choose_preset, fit_to_images
from autoseg.commands.resuming import (
    require_same_images,
    resumed_request,
    settings_of,
)
from autoseg.commands.retrain_estimate import ESTIMATE_FIELDS, Estimate
from autoseg.commands.retrain_memory import planned_memory
from autoseg.commands.retrain_networks import (
    choose_networks,
    require_same_networks,
    sizes_of,
)
from autoseg.commands.retrain_steps import planned_steps, require_one_end
from autoseg.commands.step_counts import StepCounts
from autoseg.config import (
    RETRAIN_PRESETS,
    DataConfig,
    TrainingConfig,
    read_values,
)
from autoseg.config.field_types import shown
from autoseg.data import SegmentationDataset, build_split, images_in
from autoseg.errors import UsageError
from autoseg.networks import NETWORKS, named_networks
from autoseg.requests import RetrainRequest
from autoseg.runs import Reckoning, load_record, reading_record, schema
from autoseg.runs.folders import folder_to_resume, new_folder, newest
from autoseg.runs.record import RECORD_NAME
from autoseg.trained import ARCHITECTURE_NAME, REFERENCES, NetworkChoice
from autoseg.trained.own_operations import (
    OWN_OPERATIONS,
    operations_of_architecture,
    own_operations,
    require_own_operations,
    require_unchanged_operations,
    warn_of_changed_operations,
)
from autoseg.training.overfit import overfit_images, overfit_note, overfit_recipe

_WHICH_NETWORKS = ("network", "encoder", "architecture", "random")
"""Fields of the request that the record keeps as the networks that came of them."""

_RESUMED = schema.fields(
    {"networks": schema.list_of(schema.mapping)},
    {"plan": schema.fields({"reasons": schema.list_of(schema.text)}, ESTIMATE_FIELDS)},
)
"""What a retraining that goes on reads of its record, beside the settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTraining:
    """One network, trained with one seed."""

    choice: NetworkChoice
    """The network."""
    seed: int
    """Seed of the training."""
    name: str
    """Name of its run folder."""
    title: str
    """How figures and progress call it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainPlan:
    """Networks, recipe and images of a retraining."""

    request: RetrainRequest
    """Every setting that decides the result."""
    networks: tuple[NetworkChoice, ...]
    """What is trained, in this order."""
    folder: Path
    """Where the run folders lie, one a training."""
    train_dataset: SegmentationDataset
    """The images that are trained on."""
    val_dataset: SegmentationDataset
    """The images that are validated on; in a sanity check the same ones."""
    is_planned: bool = False
    """Whether it follows from the images and the device: no one named a preset for them."""
    reasons: tuple[str, ...] = ()
    """Why the training has the sizes and steps that were planned for it."""
    counts: StepCounts | None = None
    """What counts its networks' steps; None where none of it is planned, or all of it was before
    it was resumed."""
    estimate: Estimate | None = None
    """What the trainings are reckoned to take; None where none of it was planned."""

    @property
    def training(self) -> TrainingConfig:
        """The recipe, with the first seed."""
        return self.request.pick(TrainingConfig)

    @property
    def trainings(self) -> tuple[PlannedTraining, ...]:
        """What is trained, in this order: all networks with the first seed, then with the next."""
        if not self.request.seeds:
            return tuple(
                PlannedTraining(
                    choice=choice, seed=self.request.seed, name=choice.label, title=choice.label
                )
                for choice in self.networks
            )
        return tuple(
            PlannedTraining(
                choice=choice,
                seed=seed,
                name=f"{choice.label}-seed-{seed}",
                title=f"{choice.label} seed {seed}",
            )
            for seed in self.request.seeds
            for choice in self.networks
        )

    @property
    def note(self) -> str | None:
        """What a reader of the scores must know: that they are a sanity check, and no result."""
        return None if self.request.overfit is None else overfit_note(self.request.overfit)

    def record(self, starting: dict[str, Any] | None) -> dict[str, Any]:
        """Return what run.json keeps of it.

        Args:
            starting: What to keep of the weights that the training starts from.
        """
        settings = settings_of(self.request)
        for name in _WHICH_NETWORKS:
            del settings[name]
        return {
            **settings,
            "networks": [choice.to_dict() for choice in self.networks],
            "weights": starting,
            "images": images_in(self.train_dataset, self.val_dataset),
            **({"plan": self._plan_record()} if self.is_planned else {}),
            **_own_operations_of(*self.networks),
        }

    def record_of(
        self, planned: PlannedTraining, starting: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return what one training's run.json keeps of it: the same as if it were the only one."""
        choice = planned.choice
        settings = {**self.record(starting), "seed": planned.seed}
        del settings["networks"], settings["seeds"]
        settings.pop(OWN_OPERATIONS, None)  # of all networks; this one may have none
        return {
            **settings,
            **({"plan": self._plan_record(choice.label)} if self.is_planned else {}),
            **_own_operations_of(choice),
            "network": choice.to_dict(),
            "class_names": self.train_dataset.class_names,
            "palette": self.train_dataset.palette.tolist(),
            "normalisation": asdict(self.train_dataset.normalisation),
        }

    def reckoning(self, label: str) -> Reckoning | None:
        """Return what the steps of a network were reckoned to take; None if a time ends them."""
        seconds = None if self.estimate is None else self.estimate.seconds.get(label)
        if seconds is None or self.training.seconds is not None:
            return None
        minutes = max(1, math.ceil(seconds / 60))
        return Reckoning(seconds, advice=f"--budget {minutes}m ends each training by the clock")

    def _plan_record(self, label: str | None = None) -> dict[str, Any]:
        """Return reasons and estimate: of all networks, or of the one with a label."""
        reckoned = {} if self.estimate is None else self.estimate.record(label)
        return {"reasons": list(self.reasons), **reckoned}


def _own_operations_of(*choices: NetworkChoice) -> dict[str, Any]:
    used = [operations_of_architecture(choice.architecture) for choice in choices]
    return own_operations(set().union(*used))


def plan_retraining(request: RetrainRequest, device: torch.device) -> RetrainPlan:
    """Resolve everything that decides the result: networks, dataset, preset, recipe.

    Raises:
        UsageError: If something is unknown, or cannot stand together.
    """
    named_networks(request.network, request.encoder)  # refuses unknown names before all else
    if request.seeds and "seed" in request.given:
        raise UsageError(
            f"--seed {request.seed} and --seeds {shown(request.seeds)}: each says what to train "
            "with; give one of them."
        )
    _require_different(request.seeds)
    request, is_planned = _after_search(request)
    train_dataset, val_dataset = _splits(request.pick(DataConfig), overfit=request.overfit)
    request = _with_recipe(request, train_dataset, device)
    require_one_end(request.pick(TrainingConfig), given=request.given)
    # The drawn scenes are what the preset tiny was made for, as in a search.
    is_planned = is_planned and request.overfit is None and request.dataset != "synthetic"
    if request.seeds:
        request = request.with_values(seed=request.seeds[0])
    networks = choose_networks(request, train_dataset)
    if all(choice.architecture is None for choice in networks):
        request.refuse(
            ("filter_multiplier", "drop_path_keep"),
            "only the cells of an architecture have it, and none is trained; leave it out, or name "
            "one with --architecture.",
        )
    counts = StepCounts(train_dataset, device) if is_planned else None
    reasons: tuple[str, ...] = ()
    # --auto-batch tries what fits.
    if counts is not None and not request.auto_batch:
        memory = planned_memory(networks, request.pick(TrainingConfig), counts, given=request.given)
        request, reasons = request.with_defaults(**memory.settings), memory.reasons
    if is_planned and request.preset == "paper":
        recipe = request.pick(TrainingConfig)
        steps = planned_steps(recipe, train_dataset, val_dataset, given=request.given)
        request, reasons = request.with_defaults(**steps.settings), (*reasons, *steps.reasons)
    return RetrainPlan(
        request=request,
        networks=tuple(networks),
        folder=request.out or new_folder("retrain", request.dataset),
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        is_planned=is_planned,
        reasons=reasons,
        counts=counts,
    )


def _require_different(seeds: Sequence[int]) -> None:
    """Refuse seeds of which one is there twice."""
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise UsageError(
                f"--seeds {shown(seeds)}: seed {seed} would train the same network again; "
                "name each seed once."
            )


def _after_search(request: RetrainRequest) -> tuple[RetrainRequest, bool]:
    """Take what a search decided: its architecture where no network is named, and the dataset and
    preset of the run that the architecture lies in, unless told otherwise.

    Returns:
        The request, and whether no one has named a preset, here or to the search.
    """
    if not request.network and request.architecture is None:
        found = newest("search")
        if found is None:
            raise UsageError(
                "no finished search under runs/ to retrain: run `python -m autoseg.search` first, "
                "or name what to train with --architecture FILE or --network NAME "
                f"({', '.join(NETWORKS)})."
            )
        announce(f"retrain: architecture of the newest search, {found}")
        request = request.with_values(architecture=found / ARCHITECTURE_NAME, network=REFERENCES)
    folder = None if request.architecture is None else request.architecture.parent
    if folder is None or not (folder / RECORD_NAME).exists():
        return request, request.preset == "auto"
    config = load_record(folder)["config"]
    require_own_operations(config, folder)
    warn_of_changed_operations(config, folder)
    where = f"{folder / RECORD_NAME}"
    data = read_values(DataConfig, config, where=where)
    if "dataset" in request.given and request.dataset != data.dataset:
        return request, request.preset == "auto"
    preset = read_values(RetrainRequest, {"preset": config.get("preset", "auto")}, where=where)
    asked, request = request, request.with_defaults(data, preset=preset.preset)
    if request != asked:
        announce(f"retrain: dataset {request.dataset} and preset as in {folder}")
    is_planned = request.preset == "auto" or ("plan" in config and "preset" not in request.given)
    return request, is_planned


def _splits(
    data: DataConfig, *, overfit: int | None
) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Build the images to train on and those to validate on: the same few in a sanity check."""
    train_dataset = build_split(data, "train")
    if overfit is None:
        return train_dataset, build_split(data, "val")
    images = overfit_images(train_dataset, overfit)
    return images, images


def _with_recipe(
    request: RetrainRequest, dataset: SegmentationDataset, device: torch.device
) -> RetrainRequest:
    """Let the preset decide what the user left open, fitted to the images of the train split."""
    name = choose_preset(request.preset, dataset=request.dataset, device=device)
    scale = choose_image_scale(name, dataset.largest_size)
    if "image_scale" in request.given:
        scale = request.image_scale
    announce(f"retrain: images at {scale:.0%} of their sides (--image-scale)")
    height, width = (round(side * scale) for side in dataset.largest_size)
    preset = RETRAIN_PRESETS[name]
    # A crop larger than the images would be padded at every step.
    crop = min(preset.crop_size[0], height), min(preset.crop_size[1], width)
    preset = replace(preset, image_scale=scale, crop_size=crop)
    request = request.with_values(preset=name)
    if request.overfit is not None:
        check = overfit_recipe(
            preset, given=request.given, num_images=request.overfit, image_size=(height, width)
        )
        return request.with_defaults(replace(check, drop_path_keep=1.0))
    request = request.with_defaults(preset)
    fitted = fit_to_images(
        request.pick(TrainingConfig),
        num_images=len(dataset),
        largest_size=dataset.largest_size,
        given=request.given,
        command="retrain",
    )
    request = request.with_defaults(fitted)
    announce(
        f"retrain: crops of {request.crop_size[0]} x {request.crop_size[1]} pixels (--crop-size)"
    )
    return request


def plan_resumed(request: RetrainRequest) -> RetrainPlan:
    """Take everything from the record of the retraining that is to go on.

    Raises:
        UsageError: If there is none, or the user says otherwise than it was started.
    """
    folder = folder_to_resume("retrain-set", request.out)
    config = load_record(folder)["config"]
    require_own_operations(config, folder)
    require_unchanged_operations(config, folder)
    with reading_record(folder):
        _RESUMED(config, "config")
        networks = [NetworkChoice.from_dict(choice) for choice in config["networks"]]
    saved = read_values(
        RetrainRequest,
        # The file of the weights is compared by its checksum.
        {**sizes_of(networks), **config, "weights": None},
        where=f"{folder / RECORD_NAME}",
    )
    if request.preset == "auto":
        request = request.with_values(preset=saved.preset)
    resumed = resumed_request(request, saved, folder=folder, ignoring=("weights", *_WHICH_NETWORKS))
    require_one_end(resumed.pick(TrainingConfig), given=request.given)
    train_dataset, val_dataset = _splits(resumed.pick(DataConfig), overfit=resumed.overfit)
    if request.given.intersection(_WHICH_NETWORKS):
        require_same_networks(choose_networks(resumed, train_dataset), networks, folder=folder)
    require_same_images(folder, config, images_in(train_dataset, val_dataset))
    return RetrainPlan(
        request=resumed,
        networks=tuple(networks),
        folder=folder,
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        is_planned="plan" in config,
        reasons=tuple(config.get("plan", {}).get("reasons", ())),
        estimate=Estimate.from_record(config.get("plan", {})),
    )
