"""Train one network on a few images, through the project's own command, and score it on them."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from autoseg.atomic import atomic_write
from autoseg.commands.retrain import run_retrain
from autoseg.config import DataConfig
from autoseg.data import SegmentationDataset, build_split, normalise
from autoseg.errors import UsageError
from autoseg.evaluation import predict_logits
from autoseg.metrics import ConfusionMatrix
from autoseg.networks import inference_parameters
from autoseg.requests import RetrainRequest
from autoseg.runs import describe_environment
from autoseg.trained import RetrainedNetwork
from autoseg.training.overfit import overfit_images

from .setting import ARCHITECTURE, OverfitRow, image_scale, learning_rate, num_steps

_ROW = "row.json"


def training_images(request: RetrainRequest) -> SegmentationDataset:
    """Return the images that all networks are trained and scored on."""
    assert request.overfit is not None
    return overfit_images(build_split(request.pick(DataConfig), "train"), request.overfit)


def request_of(name: str, settings: Mapping[str, Any]) -> RetrainRequest:
    """Build what a user would give to `python -m autoseg.retrain` for one network.

    Args:
        name: One of `NAMES`.
        settings: Fields of the request that all networks share, by name.
    """
    is_architecture = name == ARCHITECTURE
    chosen = {"architecture": Path(name)} if is_architecture else {"network": (name,)}
    shared = {key: value for key, value in settings.items() if key != "filter_multiplier"}
    if is_architecture:
        shared["filter_multiplier"] = settings["filter_multiplier"]
    own = {
        "image_scale": float(image_scale(name)),
        "learning_rate": learning_rate(name, settings["learning_rate"]),
        "num_steps": num_steps(name, settings["num_steps"]),
        "validate_every": num_steps(name, settings["num_steps"]),
    }
    return RetrainRequest(**{**shared, **chosen, **own})


def measured_row(folder: Path, request: RetrainRequest, *, goal: float) -> OverfitRow | None:
    """Read the row of a network that an earlier call has finished.

    Args:
        folder: The network's folder.
        request: What it is to be trained with.
        goal: Mean IoU from which it passes now.

    Returns:
        None if it is not finished.

    Raises:
        UsageError: If it was trained with something else.
    """
    path = folder / _ROW
    if not path.exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    wanted = _plain(request)
    for key in {**wanted, **stored["request"]}:
        before, now = (values.get(key) for values in (stored["request"], wanted))
        if before != now:
            raise UsageError(
                f"{folder} was trained with {key} = {before!r}, not {now!r}; name another folder "
                "with --runs, or give the same options."
            )
    row = OverfitRow(**stored["row"])
    return replace(row, is_passed=row.miou is not None and row.miou >= goal)


def train_and_score(
    folder: Path, request: RetrainRequest, *, command: Sequence[str], goal: float
) -> OverfitRow | None:
    """Train a network, or go on with its training, score it, and write its row into its folder.

    Args:
        folder: The network's folder.
        request: What it is trained with.
        command: The command line, for the record.
        goal: Mean IoU from which it passes.

    Returns:
        None if it was asked to stop; a later call goes on.
    """
    is_resumed = (folder / "run.json").exists()
    start = time.process_time()
    words = {name: getattr(request, name) for name in request.given}
    whole = RetrainRequest(**words, out=folder, resume=is_resumed)
    _, result = run_retrain(whole, command=command)
    seconds = time.process_time() - start
    if not result.is_finished:
        return None
    trained = RetrainedNetwork.open(folder)
    images = training_images(request)
    network = trained.choice.build(images.num_classes)
    failure = result.failed.get(trained.choice.label)
    scores = {} if failure else _scores(trained, images)
    git = describe_environment()["git"]
    row = OverfitRow(
        network=trained.choice.label,
        num_params=sum(parameter.numel() for parameter in inference_parameters(network)),
        image_scale=int(trained.image_scale),
        learning_rate=trained.config["learning_rate"],
        num_steps=trained.config["num_steps"],
        cpu_seconds=None if is_resumed else seconds,
        miou=scores.get("miou"),
        num_averaged=scores.get("num_averaged"),
        pixel_accuracy=scores.get("pixel_accuracy"),
        cross_entropy=scores.get("cross_entropy"),
        is_passed=scores.get("miou", 0.0) >= goal,
        failure=failure,
        commit=None if git is None else git["commit"] + ("+" if git["dirty"] else ""),
    )
    stored = {"request": _plain(request), "row": asdict(row)}
    atomic_write(folder / _ROW, (json.dumps(stored, indent=2) + "\n").encode())
    return row


def training_logits(trained: RetrainedNetwork, images: SegmentationDataset) -> torch.Tensor:
    """Return the logits of the last weights for the training images, float, (N, K, H, W).

    Args:
        trained: The network.
        images: Images of one size.
    """
    network = trained.network("last")
    with torch.inference_mode():
        each = [
            predict_logits(
                network, normalise(images[index].image)[None], scales=(trained.image_scale,)
            )
            for index in range(len(images))
        ]
    return torch.cat(each)


def _scores(trained: RetrainedNetwork, images: SegmentationDataset) -> dict[str, Any]:
    """Score the last weights; the fields are those of `OverfitRow`."""
    logits = training_logits(trained, images)
    target = torch.stack([images[index].target for index in range(len(images))])
    confusion = ConfusionMatrix(images.num_classes, images.ignore_index)
    confusion.update(logits.argmax(dim=1), target)
    return {
        "miou": confusion.mean_iou(),
        "num_averaged": confusion.num_averaged,
        "pixel_accuracy": confusion.pixel_accuracy(),
        "cross_entropy": F.cross_entropy(logits, target, ignore_index=images.ignore_index).item(),
    }


def _plain(request: RetrainRequest) -> dict[str, Any]:
    """Bring what a request was given to the form that it has in JSON."""
    words = {name: getattr(request, name) for name in sorted(request.given)}
    return json.loads(json.dumps(words, default=str))
