"""Which network a run trains, in a form that a record can hold and that builds it again."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from autoseg.architecture import Architecture
from autoseg.config import DataConfig, read_values
from autoseg.crf import CRFSettings
from autoseg.data import IMAGENET_MEAN, IMAGENET_STD, SegmentationDataset
from autoseg.errors import UsageError
from autoseg.foreign_text import is_name_in_folder
from autoseg.jobs.data import build_split
from autoseg.networks import CRF_RNN, build_network, crf_rnn
from autoseg.runs import find_runs, load_record, load_weights

SEARCHED = "searched"
"""What a network that a search has found is called in folders and tables."""

REFERENCES = ("deeplabv3plus_resnet101", "duc_hdc_resnet101", "icnet_resnet50")
"""The fixed networks that are retrained beside a searched one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkChoice:
    """A network and its sizes."""

    label: str
    """How folders and tables call it; the run folder has this name."""
    name: str | None = None
    """A fixed network's name."""
    architecture: Architecture | None = None
    """A searched or published architecture."""
    width: float = 1.0
    """Factor on the channels; in an architecture on those of stem and head alone."""
    filter_multiplier: int = 20
    """F of an architecture's cells."""
    drop_path_keep: float = 1.0
    """p of ScheduledDropPath in an architecture's cells; 1 is off."""
    crf_layer: CRFSettings | None = None
    """What the dense CRF starts from that follows the network and is trained with it; None for
    none."""

    def __post_init__(self) -> None:
        # A record may come from anywhere, and its label must not lead out of the runs' folder.
        if not is_name_in_folder(self.label):
            raise UsageError(
                f"network label {self.label!r} cannot be the name of a run folder: it must be one "
                "printable name without / \\ and :."
            )

    def with_crf_layer(self) -> "NetworkChoice":
        """Return the same network followed by CRF-RNN, with a label that says so."""
        return replace(self, label=f"{self.label}+crf", crf_layer=CRF_RNN)

    def build(self, num_classes: int) -> nn.Module:
        """Build the network with random weights."""
        network = self._build_network(num_classes)
        if self.crf_layer is None:
            return network
        return crf_rnn(
            network,
            num_classes=num_classes,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            settings=self.crf_layer,
        )

    def _build_network(self, num_classes: int) -> nn.Module:
        if self.architecture is None:
            assert self.name is not None
            return build_network(self.name, num_classes=num_classes, width=self.width)
        return build_network(
            self.architecture,
            num_classes=num_classes,
            width=self.width,
            filter_multiplier=self.filter_multiplier,
            drop_path_keep=self.drop_path_keep,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as plain values that JSON can hold."""
        values: dict[str, Any] = {"label": self.label, "width": self.width}
        if self.crf_layer is not None:
            values["crf_layer"] = asdict(self.crf_layer)
        if self.architecture is None:
            return {**values, "name": self.name}
        return {
            **values,
            "architecture": self.architecture.to_dict(),
            "filter_multiplier": self.filter_multiplier,
            "drop_path_keep": self.drop_path_keep,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkChoice":
        """Build a choice from `to_dict()`'s result."""
        values = dict(values)
        if "architecture" in values:
            values["architecture"] = Architecture.from_dict(values["architecture"])
        if "crf_layer" in values:
            # Older records name the parameters that could differ then.
            layer = {**asdict(CRF_RNN), **values["crf_layer"]}
            values["crf_layer"] = CRFSettings.from_dict(layer)
        return cls(**values)


def run_folder(folder: Path) -> Path:
    """Find the retrained network in a folder: a run, or a retraining of one network.

    Raises:
        UsageError: If there is none, or several to choose from.
    """
    record = load_record(folder)
    if record["kind"] == "retrain":
        return folder
    runs = find_runs(folder, kind="retrain")
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise UsageError(
            f"{folder} is a {record['kind']} run and holds no retrained network; run "
            "`python -m autoseg.retrain` and name one of its folders."
        )
    names = ", ".join(str(run) for run in runs)
    raise UsageError(f"{folder} holds several retrained networks; name one of {names}.")


def load_network(folder: Path, *, which: str = "best") -> nn.Module:
    """Build a retrained network and load its weights.

    Args:
        folder: A retrain run.
        which: "best" (by validation) or "last".

    Returns:
        The network in eval mode, on the CPU.
    """
    config = load_record(folder)["config"]
    network = NetworkChoice.from_dict(config["network"]).build(len(config["class_names"]))
    weights = load_weights(folder, "best" if which == "best" else "last")
    network.load_state_dict(weights)
    return network.eval()


def dataset_of(folder: Path, split: str, *, data_root: Path | None = None) -> SegmentationDataset:
    """Build a split of the dataset that a run was trained on.

    Args:
        folder: A retrain run.
        split: "train", "val" or "test".
        data_root: Where the dataset lies now; None takes the place in the record.
    """
    config = load_record(folder)["config"]
    data = read_values(DataConfig, config, where=f"{folder}/run.json")
    return build_split(replace(data, data_root=data_root or data.data_root), split)


def labels_of(folder: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Return a run's class names and their colours, uint8, (K, 3), from its record.

    The record is enough: a person who predicts need not have the dataset.
    """
    config = load_record(folder)["config"]
    return tuple(config["class_names"]), np.array(config["palette"], dtype=np.uint8)
