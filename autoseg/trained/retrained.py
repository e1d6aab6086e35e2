"""A retrained network: everything that its run folder says of it, opened once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.config import DataConfig, read_values
from autoseg.data import IMAGENET, Normalisation, SegmentationDataset, build_split
from autoseg.data.channels import MAX_CHANNELS
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
from autoseg.trained.own_operations import require_own_operations, warn_of_changed_operations

_CONFIG = schema.fields(
    required={
        "network": schema.mapping,
        "class_names": schema.list_of(schema.text),
        "image_scale": schema.number(1e-3, 100),
    },
    allowed={
        "palette": schema.list_of(schema.list_of(schema.whole(0, 255), length=3)),
        "normalisation": schema.fields(
            {
                "mean": schema.list_of(schema.number(-1e3, 1e3)),
                "std": schema.list_of(schema.number(1e-6, 1e3)),
            }
        ),
        "dataset": schema.text,
        "num_steps": schema.whole(1),
        "overfit": schema.optional(schema.whole(1)),
    },
)
"""What is read of a retrained network's configuration wherever it is used; it holds more."""

_MAX_CLASSES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainedNetwork:
    """A retrained network, or one whose training goes on, as its run folder has it.

    The record is read when it is opened. Weights and images are read when they are asked for.
    """

    folder: Path
    """Run folder of the retraining."""
    record: dict[str, Any]
    """run.json; what is named below was checked in it."""
    choice: NetworkChoice
    """Which network it is."""

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
            num_classes = len(config["class_names"])
            if not 1 <= num_classes <= _MAX_CLASSES:
                raise ValueError(
                    f"config.class_names has {num_classes} names; it must have 1 to {_MAX_CLASSES}"
                )
            if len(config.get("palette", config["class_names"])) != num_classes:
                raise ValueError("config.palette must have one colour for each class")
            normalisation = _normalisation(config)
            if not 1 <= normalisation.num_channels == len(normalisation.std) <= MAX_CHANNELS:
                raise ValueError(
                    "config.normalisation must have one mean and one std for each channel, at most "
                    f"{MAX_CHANNELS}"
                )
            choice = NetworkChoice.from_dict(config["network"])
        return cls(folder=folder, record=record, choice=choice)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the training, as the record has them."""
        return self.record["config"]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that it tells apart, K of them."""
        return tuple(self.config["class_names"])

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The classes' colours, uint8, (K, 3).

        The record is enough: a person who predicts need not have the dataset.

        Raises:
            FileError: If the record has none.
        """
        if "palette" not in self.config:
            raise FileError(
                f"{printable(str(self.folder))}/run.json has no field 'config.palette'."
            )
        return np.array(self.config["palette"], dtype=np.uint8)

    @property
    def normalisation(self) -> Normalisation:
        """How its images are normalised, and so how many channels they have."""
        return _normalisation(self.config)

    @property
    def image_scale(self) -> float:
        """Factor on the images' sides before the network sees them, as in the training."""
        return self.config["image_scale"]

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
        network = self.choice.build(len(self.class_names), normalisation=self.normalisation)
        weights = load_weights(self.folder, which)
        _require_fit(network, weights, weights_path(self.folder, which))
        network.load_state_dict(weights)
        return network.eval()

    def weights_sha256(self, which: Which = "best") -> str:
        """Return the checksum of the weights, without reading all of them.

        Raises:
            UsageError: If the run has no such weights.
            FileError: If the file is damaged.
        """
        return weights_sha256(self.folder, which)

    def dataset(self, split: str, *, data_root: Path | None = None) -> SegmentationDataset:
        """Build a split of the dataset that it was trained on.

        Args:
            split: "train", "val" or "test".
            data_root: Where the dataset lies now; None takes the place in the record.

        Raises:
            UsageError: If the dataset is not there, or the record does not say which it is.
        """
        data = read_values(DataConfig, self.config, where=f"{self.folder}/run.json")
        return build_split(replace(data, data_root=data_root or data.data_root), split)


def _normalisation(config: Mapping[str, Any]) -> Normalisation:
    if "normalisation" not in config:
        return IMAGENET  # earlier records, of RGB alone, do not say
    saved = config["normalisation"]
    return Normalisation(mean=tuple(saved["mean"]), std=tuple(saved["std"]))


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


def _require_fit(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse whole weights of another network in one line, where torch writes one a tensor."""
    state = network.state_dict()
    misfits = [f"it lacks {name}" for name in state if name not in weights]
    misfits += [f"it has {name}, and the network has not" for name in weights if name not in state]
    misfits += [
        f"{name} is {tuple(weights[name].shape)} where the network has {tuple(tensor.shape)}"
        for name, tensor in state.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if misfits:
        more = f" (and {len(misfits) - 1} more)" if len(misfits) > 1 else ""
        raise FileError(
            f"{printable(str(path))} is not of the network that run.json beside it describes: "
            f"{printable(misfits[0])}{more}. Restore both from one copy of the run."
        )
