"""Which networks a retraining trains: those that a request names, or a record holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.architecture import load_architecture
from autoseg.commands.random_rivals import draw_rivals
from autoseg.config import NetworkSizes
from autoseg.data import SegmentationDataset
from autoseg.errors import UsageError
from autoseg.foreign_text import folder_name
from autoseg.networks import named_networks
from autoseg.requests import RetrainRequest
from autoseg.trained import SEARCHED, NetworkChoice


def choose_networks(request: RetrainRequest, dataset: SegmentationDataset) -> list[NetworkChoice]:
    """List the networks that a request names, and those that are drawn beside a searched one.

    Args:
        request: What the user asks for.
        dataset: The images that are trained on.

    Raises:
        UsageError: If a name is unknown, or two networks would share a folder; if others are to be
            drawn where no search is.
    """
    named = named_networks(request.network, request.encoder)
    sizes, found = request.pick(NetworkSizes), request.architecture
    choices = []
    if found is not None:
        label = SEARCHED if found.stem == "architecture" else folder_name(found.stem)
        choices.append(
            NetworkChoice(
                label=label,
                architecture=load_architecture(found),
                width=sizes.width,
                filter_multiplier=sizes.filter_multiplier,
                drop_path_keep=sizes.drop_path_keep,
            )
        )
    if request.random:
        choices += draw_rivals(
            choices,
            found,
            number=request.random,
            seed=request.seed,
            dataset=dataset,
            image_scale=request.image_scale,
        )
    choices += [NetworkChoice.named(network, width=sizes.width) for network in named]
    if request.crf_layer:
        choices = [choice.with_crf_layer() for choice in choices]
    _require_own_folders(choices)
    return choices


def _require_own_folders(choices: Sequence[NetworkChoice]) -> None:
    """Refuse two networks whose run folder would be the same, also where case does not count."""
    by_folder: dict[str, str] = {}
    for choice in choices:
        folder = choice.label.casefold()
        if folder in by_folder:
            other = by_folder[folder]
            raise UsageError(
                f"{other} and {choice.label} would be trained in one folder; name each network "
                "once, or give the architecture's file another name."
            )
        by_folder[folder] = choice.label


def sizes_of(networks: Sequence[NetworkChoice]) -> dict[str, Any]:
    """Return the sizes of networks by field of a request; earlier records keep them there alone."""
    sizes: dict[str, Any] = {"width": networks[0].width}
    for choice in networks:
        if choice.architecture is not None:
            sizes["filter_multiplier"] = choice.filter_multiplier
            sizes["drop_path_keep"] = choice.drop_path_keep
    return sizes


def require_same_networks(
    asked: Sequence[NetworkChoice], saved: Sequence[NetworkChoice], *, folder: Path
) -> None:
    """Refuse to resume with other networks than those that the retraining was started with.

    Args:
        asked: What the user names now.
        saved: What the record holds.
        folder: The run folder, for the message.

    Raises:
        UsageError: If a name or an architecture differs.
    """
    remedy = "leave --network and --architecture out, or start a new run without --resume"
    before, now = ([choice.label for choice in choices] for choices in (saved, asked))
    if sorted(before) != sorted(now):
        raise UsageError(
            f"--resume: {folder} was started with the networks {', '.join(before)}, not "
            f"{', '.join(now)}; {remedy}."
        )
    architectures = {choice.label: choice.architecture for choice in saved}
    for choice in asked:
        if choice.architecture != architectures[choice.label]:
            raise UsageError(
                f"--resume: {folder} was started with another architecture as {choice.label}; "
                f"{remedy}."
            )
