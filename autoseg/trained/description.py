"""What a network needs, beside its weights, to segment an image."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.data import IMAGENET, Normalisation
from autoseg.data.channels import MAX_CHANNELS
from autoseg.errors import FileError
from autoseg.foreign_text import printable
from autoseg.networks.weightless import weightless
from autoseg.runs import schema
from autoseg.trained.choice import NetworkChoice

_MAX_CLASSES = 10_000

_FIELDS = schema.fields(
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
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription:
    """A network, what it is shown of an image, and what its classes are."""

    choice: NetworkChoice
    """Which network it is."""
    class_names: tuple[str, ...]
    """Names of the classes that it tells apart, K of them."""
    colours: tuple[tuple[int, int, int], ...] | None
    """A colour for each class, RGB; None in the records of early versions."""
    normalisation: Normalisation
    """How its images are normalised, and so how many channels they have."""
    image_scale: float
    """Factor on the images' sides before the network sees them, as in the training."""

    @property
    def palette(self) -> NDArray[np.uint8] | None:
        """The classes' colours, uint8, (K, 3), where they are known."""
        return None if self.colours is None else np.array(self.colours, dtype=np.uint8)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "config") -> "ModelDescription":
        """Read the fields that every configuration of a retrained network has; it may have more.

        Args:
            values: A mapping from a file.
            where: What messages call it.

        Raises:
            ValueError: If a field is missing or cannot be, or if there is no such network.
        """
        _FIELDS(dict(values), where)
        class_names = tuple(values["class_names"])
        if not 1 <= len(class_names) <= _MAX_CLASSES:
            raise ValueError(
                f"{where}.class_names has {len(class_names)} names; it must have 1 to "
                f"{_MAX_CLASSES}"
            )
        colours = values.get("palette")
        if colours is not None and len(colours) != len(class_names):
            raise ValueError(f"{where}.palette must have one colour for each class")
        normalisation = IMAGENET  # earlier records, of RGB alone, do not say
        if (saved := values.get("normalisation")) is not None:
            normalisation = Normalisation(mean=tuple(saved["mean"]), std=tuple(saved["std"]))
        if not 1 <= normalisation.num_channels == len(normalisation.std) <= MAX_CHANNELS:
            raise ValueError(
                f"{where}.normalisation must have one mean and one std for each channel, at most "
                f"{MAX_CHANNELS}"
            )
        return cls(
            choice=NetworkChoice.from_dict(values["network"]),
            class_names=class_names,
            colours=None if colours is None else tuple((red, g, b) for red, g, b in colours),
            normalisation=normalisation,
            image_scale=values["image_scale"],
        )

    def network(self, weights: Mapping[str, Tensor], *, path: Path) -> nn.Module:
        """Build the network and give it weights.

        Args:
            weights: All of the network, by name.
            path: The file that they were read from, for the message.

        Returns:
            The network in eval mode, on the CPU.

        Raises:
            FileError: If the weights are not of this network.
        """
        with weightless():  # before memory is taken for a network that some file describes
            _require_fit(self._build(), weights, path)
        network = self._build()
        network.load_state_dict(weights)
        return network.eval()

    def _build(self) -> nn.Module:
        return self.choice.build(len(self.class_names), normalisation=self.normalisation)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold, and that `from_dict` takes."""
        palette = {} if self.colours is None else {"palette": [list(c) for c in self.colours]}
        return {
            "network": self.choice.to_dict(),
            "class_names": list(self.class_names),
            **palette,
            "normalisation": asdict(self.normalisation),
            "image_scale": self.image_scale,
        }


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
            f"{printable(str(path))} is not of the network that its description names: "
            f"{printable(misfits[0])}{more}. Restore both from one copy of the run."
        )
