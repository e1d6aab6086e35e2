"""A retrained network: everything that its run folder says of it, opened once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from autoseg.config import DataConfig, read_values
from autoseg.data import Normalisation, SegmentationDataset, build_split
from autoseg.errors import FileError, UsageError
from autoseg.foreign_text import printable
from autoseg.runs import (
    find_runs,
    load_record,
    load_weights,
    reading_record,
    schema,
    weights_path,
    weights_sha256,
)
from autoseg.runs.weights import Which
from autoseg.trained.choice import NetworkChoice
from autoseg.trained.description import ModelDescription
from autoseg.trained.own_operations import require_own_operations, warn_of_changed_operations

_CONFIG = schema.fields(
    allowed={
        "dataset": schema.text,
        "num_steps": schema.whole(1),
        "overfit": schema.optional(schema.whole(1)),
    },
)
"""What is read of a retrained network's configuration beside its description; it holds more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainedNetwork:
    """A retrained network, or one whose training goes on, as its run folder has it.

    The record is read when it is opened. Weights and images are read when they are asked for.
    """

    folder: Path
    """Run folder of the retraining."""
    record: dict[str, Any]
    """run.json; what is named below was checked in it."""
    description: ModelDescription
    """The network and its classes, as the record has them."""

    @classmethod
    def open(cls, folder: Path) -> "RetrainedNetwork":
        """Open the network in a folder: a retrain run, or a retraining of one network.

        Raises:
            UsageError: If there is none, or there are several to choose from, or it has operations
                that are not registered.
            FileError: If the record lacks what every retrained network has, or describes a network
                that this autoseg does not know.
        """
        folder, record = _find(folder)
        config = record["config"]
        require_own_operations(config, folder)
        warn_of_changed_operations(config, folder)
        with reading_record(folder, "a record of a retrained network"):
            _CONFIG(config, "config")
            description = ModelDescription.from_dict(config)
        return cls(folder=folder, record=record, description=description)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the training, as the record has them."""
        return self.record["config"]

    @property
    def choice(self) -> NetworkChoice:
        """Which network it is."""
        return self.description.choice

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that it tells apart, K of them."""
        return self.description.class_names

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The classes' colours, uint8, (K, 3).

        The record is enough: a person who predicts need not have the dataset.

        Raises:
            FileError: If the record has none.
        """
        palette = self.description_with_colours.palette
        assert palette is not None
        return palette

    @property
    def description_with_colours(self) -> ModelDescription:
        """The description, if it has colours.

        Raises:
            FileError: If the record has none.
        """
        if self.description.colours is None:
            raise FileError(
                f"{printable(str(self.folder))}/run.json has no field 'config.palette'."
            )
        return self.description

    @property
    def normalisation(self) -> Normalisation:
        """How its images are normalised, and so how many channels they have."""
        return self.description.normalisation

    @property
    def image_scale(self) -> float:
        """Factor on the images' sides before the network sees them, as in the training."""
        return self.description.image_scale

    def network(self, which: Which = "best") -> nn.Module:
        """Build the network and load its weights.

        Args:
            which: "best" (by validation) or "last".

        Returns:
            The network in eval mode, on the CPU.

        Raises:
            UsageError: If the run has no such weights.
            FileError: If the weights are damaged, or not of this network.
        """
        weights = load_weights(self.folder, which)
        return self.description.network(weights, path=weights_path(self.folder, which))

    def weights_sha256(self, which: Which = "best") -> str:
        """Return the checksum of the weights, without reading all of them.

        Raises:
            UsageError: If the run has no such weights.
            FileError: If the file is damaged.
        """
        return weights_sha256(self.folder, which)

    def dataset(
        self,
        split: str,
        *,
        data_root: Path | None = None,
        build: Callable[[DataConfig, str], SegmentationDataset] = build_split,
    ) -> SegmentationDataset:
        """Build a split of the dataset that it was trained on.

        Args:
            split: "train", "val" or "test".
            data_root: Where the dataset lies now; None takes the place in the record.
            build: Builds the split; where several networks share images, one that remembers.

        Raises:
            UsageError: If the dataset is not there, or the record does not say which it is.
        """
        data = read_values(DataConfig, self.config, where=f"{self.folder}/run.json")
        # The cache was the training's choice, on its machine.
        data = replace(data, data_root=data_root or data.data_root, cache="memory", cache_gib=None)
        return build(data, split)


def _find(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Find the one retrain run that is or lies in a folder; return its folder and record."""
    record = load_record(folder)
    if record["kind"] == "retrain":
        return folder, record
    runs = find_runs(folder, kind="retrain")
    if len(runs) == 1:
        return runs[0], load_record(runs[0])
    if not runs:
        raise UsageError(
            f"{folder} is a {record['kind']} run and holds no retrained network; run "
            "`python -m autoseg.retrain` and name one of its folders."
        )
    names = ", ".join(str(run) for run in runs)
    raise UsageError(f"{folder} holds several retrained networks; name one of {names}.")
