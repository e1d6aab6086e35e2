"""What a comparison measures: a network, with its training or without one."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from autoseg.config import DataConfig
from autoseg.config.recipe import NOT_DECIDING
from autoseg.data import SegmentationDataset, build_split, spread_indices
from autoseg.errors import UsageError
from autoseg.runs import reading_record, schema
from autoseg.runs.weights import Which
from autoseg.trained import NetworkChoice, RetrainedNetwork

_CONFIG = schema.fields(
    {"dataset": schema.text, "num_steps": schema.whole(1)},
    {
        "budget": schema.optional(schema.text),
        "loss": schema.list_of(schema.text),
        "class_weights": schema.optional(schema.text),
        "weights": schema.optional(schema.fields(allowed={"file": schema.text})),
    },
)
_BASELINES = schema.fields(
    allowed={"baselines": schema.fields(allowed={"colour_miou": schema.optional(schema.number())})}
)
_RESULTS = schema.fields({"best_step": schema.whole()}, {"step": schema.whole(1)})
"""What a comparison reads of a run beside what builds its network."""

_NO_RECIPE = (
    *("seed", "data_root", "data", "cache", "cache_gib", "preset", "plan", "palette"),
    *NOT_DECIDING,
)
"""Settings of a training that may differ between the seeds of one row: where the images lie, and
names and reasons of what the other settings say. What the images are is a checksum of its own."""


_CRF_LAYER = (
    "its last layer is a dense CRF, which was trained with it: the row without CRF has that one in "
    "parameters, latency and memory, but not in MACs, which count no message passing; the row with "
    "CRF refines its result by another one."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """Where a network's weights come from."""

    run: RetrainedNetwork
    """The run, opened."""
    num_steps: int
    """Steps of the training."""
    best_step: int
    """Step whose weights are scored."""
    weights_sha256: str
    """Checksum of those weights."""
    weights: Which = "best"
    """Whether they are those of the best validation, or the last ones."""
    loss: str = "cross_entropy"
    """What the training minimised."""
    started_from: str | None = None
    """Name of the file that it started from; None: random weights."""
    colour_miou: float | None = None
    """Mean IoU on val that each pixel's colour alone has; None where it was not measured."""

    @property
    def folder(self) -> Path:
        """Run folder."""
        return self.run.folder

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.run.record["seed"]

    def has_chosen(self, split: str) -> bool:
        """Say whether images of a split have chosen the weights: the validations', which are val's.

        Their score there is optimistic.
        """
        return self.weights == "best" and split == "val"

    @property
    def training_sha256(self) -> str:
        """Checksum of all settings of the training but its seed: network, recipe and images."""
        config = self.run.config
        settings = {name: value for name, value in config.items() if name not in _NO_RECIPE}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A network that is to be measured."""

    name: str
    """What was built: a fixed network's name, or "searched" and the like."""
    width: float
    """Factor on the channels; 1 is the published network."""
    filter_multiplier: int | None
    """F of an architecture's cells; None for a fixed network."""
    has_crf_layer: bool
    """Whether its last layer is a dense CRF that was trained with it."""
    network: nn.Module
    """The network itself, in eval mode."""
    dataset: SegmentationDataset
    """The images and their labels; a network without a run sees the first image alone."""
    indices: tuple[int, ...]
    """Samples that are scored; empty for a network without a run."""
    image_scale: float
    """Factor on the images' sides before the network sees them, as in the training."""
    trained: Trained | None
    """The training that the weights come from; None for a network without a run."""
    training_split: Callable[[], SegmentationDataset] | None = None
    """Builds the split that it was trained on; None for a network without a run."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What sets its training apart from the common recipe, in sentences."""
        notes = []
        trained = self.trained
        if trained is not None and trained.loss != "cross_entropy":
            notes.append(f"trained with another loss than plain cross-entropy: {trained.loss}.")
        if trained is not None and trained.started_from is not None:
            notes.append(
                f"started from the weights in {trained.started_from}, not from random ones."
            )
        if self.has_crf_layer:
            notes.append(_CRF_LAYER)
        return tuple(notes)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that no image exceeds, nor its label, in pixels."""
        return self.dataset.largest_size

    @property
    def first_size(self) -> tuple[int, int]:
        """Height and width of the first image, on which costs are measured; it is read."""
        height, width = self.dataset[0].target.shape
        return height, width

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the network sees of the largest image.

        They are rounded as `predict_logits` does it.
        """
        return self.input_size_for(self.image_size)

    def input_size_for(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Say what the network sees of images of another height and width."""
        height, width = image_size
        return round(self.image_scale * height), round(self.image_scale * width)

    @property
    def label(self) -> str:
        """Name in tables and figures, which says so where the network is not of published size."""
        sizes = []
        if self.filter_multiplier is not None:
            sizes.append(f"F{self.filter_multiplier}")
        if self.width != 1:
            sizes.append(f"x{self.width:g}")
        return " ".join((self.name, *sizes))


def trained_subject(
    run: RetrainedNetwork,
    *,
    split: str,
    limit: int,
    data_root: Path | None,
    weights: Which = "best",
    build: Callable[[DataConfig, str], SegmentationDataset] = build_split,
) -> Subject:
    """Take the weights of a finished retraining, and the images that score them.

    Args:
        run: The run.
        split: "train", "val" or "test".
        limit: Images that are scored, evenly spread over the split; 0 takes all.
        data_root: Where the dataset lies now; None takes the place in the record.
        weights: "best" (by validation) or "last".
        build: Builds the split; where several networks share images, one that remembers.

    Raises:
        UsageError: If the run is not finished, was a sanity check, or lacks weights or images.
        FileError: If record or weights are damaged.
    """
    folder, config, results = run.folder, run.config, run.record["results"]
    if run.record["state"] != "finished":
        raise UsageError(
            f"{folder} is not finished ({run.record['state']}), so its score would say little; "
            "finish it with `python -m autoseg.retrain --resume`."
        )
    if config.get("overfit") is not None:  # records of before the option have no such field
        raise UsageError(
            f"{folder} is {results.get('note', 'a sanity check')}; it is not compared. Retrain the "
            "network without --overfit, and compare that run."
        )
    with reading_record(folder, "a record of a finished retraining"):
        _CONFIG(config, "config")
        _RESULTS(results, "results")
        _BASELINES(run.record, "record")
        # By the clock, a training makes as many steps as the machine manages.
        by_clock = config.get("budget") is not None
        num_steps = results["step"] if by_clock else config["num_steps"]
    dataset = run.dataset(split, data_root=data_root, build=build)
    return _subject(
        run.choice,
        run.network(weights),
        dataset=dataset,
        indices=tuple(spread_indices(len(dataset), limit)),
        image_scale=run.image_scale,
        training_split=partial(run.dataset, "train", data_root=data_root, build=build),
        trained=Trained(
            run=run,
            num_steps=num_steps,
            best_step=results["best_step"] if weights == "best" else num_steps,
            weights_sha256=run.weights_sha256(weights),
            weights=weights,
            loss=_describe_loss(config),
            started_from=(config.get("weights") or {}).get("file"),
            colour_miou=run.record.get("baselines", {}).get("colour_miou"),
        ),
    )


def untrained_subject(
    choice: NetworkChoice, *, dataset: SegmentationDataset, image_scale: float
) -> Subject:
    """Build a network with random weights, whose costs alone are measured.

    Args:
        choice: The network.
        dataset: Its first image is what the network sees.
        image_scale: Factor on the image's sides before that.
    """
    return _subject(
        choice,
        choice.build(dataset.num_classes, normalisation=dataset.normalisation).eval(),
        dataset=dataset,
        indices=(),
        image_scale=image_scale,
        trained=None,
    )


def _subject(
    choice: NetworkChoice,
    network: nn.Module,
    *,
    dataset: SegmentationDataset,
    indices: tuple[int, ...],
    image_scale: float,
    trained: Trained | None,
    training_split: Callable[[], SegmentationDataset] | None = None,
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
        training_split=training_split,
    )


def _describe_loss(config: Mapping[str, Any]) -> str:
    """Write a run's loss; records of before there was a choice have none."""
    loss = " + ".join(config.get("loss", ("cross_entropy",)))
    weights = config.get("class_weights")
    return loss if weights is None else f"{loss}, classes weighted by {weights}"
