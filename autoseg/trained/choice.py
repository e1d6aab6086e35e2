"""Which network a run trains, in a form that a record can hold and that builds it again."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from autoseg.architecture import AnyArchitecture, architecture_from_dict
from autoseg.crf import CRFConfig
from autoseg.data import IMAGENET, Normalisation, rgb_channels
from autoseg.errors import UsageError, unknown_name
from autoseg.foreign_text import is_name_in_folder
from autoseg.networks import CRF_RNN, NamedNetwork, build_network, crf_rnn, require_network
from autoseg.runs import schema

SEARCHED = "searched"
"""What a network that a search has found is called in folders and tables."""

DRAWN = "random-"
"""How the names begin of networks that are drawn at random beside a searched one."""

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
    architecture: AnyArchitecture | None = None
    """A searched or published architecture."""
    width: float = 1.0
    """Factor on the channels; in an architecture on those of stem and head alone."""
    filter_multiplier: int = 20
    """F of an architecture's cells."""
    drop_path_keep: float = 1.0
    """p of ScheduledDropPath in an architecture's cells; 1 is off."""
    crf_layer: CRFConfig | None = None
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

    def build(self, num_classes: int, *, normalisation: Normalisation = IMAGENET) -> nn.Module:
        """Build the network with random weights.

        Args:
            num_classes: K.
            normalisation: The normalisation of its images, which have as many channels.
        """
        network = self._build_network(num_classes, normalisation.num_channels)
        if self.crf_layer is None:
            return network
        return crf_rnn(
            network,
            num_classes=num_classes,
            mean=normalisation.mean,
            std=normalisation.std,
            colours=rgb_channels(normalisation.num_channels),
            settings=self.crf_layer,
        )

    def _build_network(self, num_classes: int, in_channels: int) -> nn.Module:
        if self.architecture is None:
            assert self.name is not None
            return build_network(
                self.name,
                num_classes=num_classes,
                width=self.width,
                encoder=self.encoder,
                in_channels=in_channels,
            )
        return build_network(
            self.architecture,
            num_classes=num_classes,
            width=self.width,
            filter_multiplier=self.filter_multiplier,
            drop_path_keep=self.drop_path_keep,
            in_channels=in_channels,
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
            values["architecture"] = architecture_from_dict(values["architecture"])
        else:
            require_network(values["name"], encoder=values.get("encoder"))
        if "crf_layer" in values:
            # Older records name the parameters that could differ then.
            layer = {**asdict(CRF_RNN), **values["crf_layer"]}
            values["crf_layer"] = CRFConfig.from_dict(layer)
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
