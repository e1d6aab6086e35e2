"""Which network a run trains, in a form that a record can hold and that builds it again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from autoseg.architecture import Architecture
from autoseg.commands.data import build_split
from autoseg.config import DataConfig, read_values
from autoseg.crf import CRFSettings
from autoseg.data import IMAGENET_MEAN, IMAGENET_STD, SegmentationDataset
from autoseg.errors import FileError, UsageError, unknown_name
from autoseg.foreign_text import is_name_in_folder, printable
from autoseg.networks import (
    CRF_RNN,
    NamedNetwork,
    build_network,
    crf_rnn,
    require_network,
)
from autoseg.runs import (
    find_runs,
    load_record,
    load_weights,
    reading_record,
    schema,
    weights_path,
)

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
    """A fixed network's name, or a family's."""
    encoder: str | None = None
    """The family's encoder; None for a fixed network or an architecture."""
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

    @classmethod
    def named(cls, network: NamedNetwork, *, width: float) -> "NetworkChoice":
        """Choose a network by its name, or by those of its family and its encoder."""
        return cls(label=network.label, name=network.name, encoder=network.encoder, width=width)

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
            return build_network(
                self.name, num_classes=num_classes, width=self.width, encoder=self.encoder
            )
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
            encoder = {} if self.encoder is None else {"encoder": self.encoder}
            return {**values, "name": self.name, **encoder}
        return {
            **values,
            "architecture": self.architecture.to_dict(),
            "filter_multiplier": self.filter_multiplier,
            "drop_path_keep": self.drop_path_keep,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkChoice":
        """Build a choice from `to_dict()`'s result, which may have been through a file.

        Raises:
            ValueError: If a field is missing, unknown or not as it must be, or if there is no such
                network.
        """
        _CHOICE(values, "network")
        for name in values:
            if name not in _CHOICE_FIELDS:
                raise unknown_name("field of a network", name, _CHOICE_FIELDS)
        if ("name" in values) == ("architecture" in values):
            raise ValueError("network must have either a name or an architecture")
        values = dict(values)
        if "architecture" in values:
            if "encoder" in values:
                raise ValueError("network has an architecture and an encoder; it can have one")
            values["architecture"] = Architecture.from_dict(values["architecture"])
        else:
            require_network(values["name"], encoder=values.get("encoder"))
        if "crf_layer" in values:
            # Older records name the parameters that could differ then.
            layer = {**asdict(CRF_RNN), **values["crf_layer"]}
            values["crf_layer"] = CRFSettings.from_dict(layer)
        return cls(**values)


_CHOICE_FIELDS: dict[str, schema.Check] = {
    "label": schema.text,
    "name": schema.text,
    "encoder": schema.text,
    "architecture": schema.mapping,
    # Far beyond what fits into memory; a record may come from anywhere.
    "width": schema.number(1e-3, 100),
    "filter_multiplier": schema.whole(1, 10_000),
    "drop_path_keep": schema.number(0, 1),
    "crf_layer": schema.mapping,
}
_CHOICE = schema.fields({"label": schema.text}, _CHOICE_FIELDS)

_CONFIG = schema.fields(
    required={
        "network": schema.mapping,
        "class_names": schema.list_of(schema.text),
        "image_scale": schema.number(1e-3, 100),
    },
    allowed={
        "palette": schema.list_of(schema.list_of(schema.whole(0, 255), length=3)),
        "dataset": schema.text,
        "num_steps": schema.whole(1),
        "overfit": schema.optional(schema.whole(1)),
    },
)
"""What is read of a retrained network's configuration wherever it is used; it holds more."""

_MAX_CLASSES = 10_000


def retrained_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a retrained network from its record.

    Args:
        folder: A retrain run.

    Raises:
        FileError: If the record lacks what every retrained network has.
    """
    config = load_record(folder)["config"]
    with reading_record(folder, "a record of a retrained network"):
        _CONFIG(config, "config")
        num_classes = len(config["class_names"])
        if not 1 <= num_classes <= _MAX_CLASSES:
            raise ValueError(
                f"config.class_names has {num_classes} names; it must have 1 to {_MAX_CLASSES}"
            )
        if len(config.get("palette", config["class_names"])) != num_classes:
            raise ValueError("config.palette must have one colour for each class")
    return config


def retrained_choice(folder: Path) -> NetworkChoice:
    """Read which network a retrain run trained.

    Raises:
        FileError: If the record describes none that this autoseg knows.
    """
    config = retrained_config(folder)
    with reading_record(folder, "a record of a retrained network"):
        return NetworkChoice.from_dict(config["network"])


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

    Raises:
        UsageError: If the run has no such weights.
        FileError: If record or weights are damaged, or the two are not of one network.
    """
    num_classes = len(retrained_config(folder)["class_names"])
    network = retrained_choice(folder).build(num_classes)
    chosen = "best" if which == "best" else "last"
    weights = load_weights(folder, chosen)
    _require_fit(network, weights, weights_path(folder, chosen))
    network.load_state_dict(weights)
    return network.eval()


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
    config = retrained_config(folder)
    if "palette" not in config:
        raise FileError(f"{printable(str(folder))}/run.json has no field 'config.palette'.")
    return tuple(config["class_names"]), np.array(config["palette"], dtype=np.uint8)
