"""A trained network that segments images, with the names and colours of its classes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from autoseg.data import normalise
from autoseg.data.channels import image_channels, read_channels
from autoseg.data.labels import label_image
from autoseg.errors import UsageError
from autoseg.evaluation import best_class, colour_mask, predict_logits
from autoseg.runs.weights import Which
from autoseg.trained.description import ModelDescription
from autoseg.trained.model_file import SUFFIX, ModelFile
from autoseg.trained.retrained import RetrainedNetwork

_MAX_INDEXED = 256  # colours of a palette file


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prediction:
    """What a network sees in one image."""

    labels: NDArray[np.integer[Any]]
    """Class of each pixel, (H, W), in [0, K)."""
    class_names: tuple[str, ...]
    """Names of the K classes."""
    palette: NDArray[np.uint8]
    """Colour of each class, RGB, (K, 3)."""

    @property
    def colours(self) -> NDArray[np.uint8]:
        """The labels in their classes' colours, RGB, uint8, (H, W, 3)."""
        return colour_mask(self.labels, self.palette)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the pixels that each class has, of those that occur, the largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.class_names))
        order = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number]]
        return {
            self.class_names[number]: float(counts[number] / self.labels.size) for number in order
        }

    def picture(self) -> Image.Image:
        """Return an image whose pixel values are the labels, shown in the classes' colours.

        With more classes than a palette has it is grey, of 16 bits.
        """
        whole = None
        if len(self.palette) <= _MAX_INDEXED:
            whole = np.zeros((_MAX_INDEXED, 3), dtype=np.uint8)
            whole[: len(self.palette)] = self.palette
        return label_image(self.labels, palette=whole, mode="P")


class SegmentationModel:
    """A trained network, what it is shown of an image, and what its classes are; see `load`."""

    def __init__(self, network: nn.Module, description: ModelDescription) -> None:
        """Put a model together.

        Args:
            network: In eval mode.
            description: Describes that network, and has colours.
        """
        assert description.palette is not None
        self.network = network
        self.description = description

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self.description.class_names

    @property
    def palette(self) -> NDArray[np.uint8]:
        """Colour of each class, RGB, uint8, (K, 3)."""
        palette = self.description.palette
        assert palette is not None
        return palette

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device, and return this model."""
        self.network.to(device)
        return self

    def logits(self, images: Tensor) -> Tensor:
        """Return the network's logits at the images' own size.

        Args:
            images: uint8, (N, C, H, W), on any device; C is 3 for RGB.

        Returns:
            Float, (N, K, H, W), on the network's device, without a gradient.
        """
        with torch.inference_mode():
            return predict_logits(
                self.network,
                normalise(images.to(self.device), self.description.normalisation),
                scales=(self.description.image_scale,),
            )

    def prediction(self, scores: Tensor) -> Prediction:
        """Choose the best class of each pixel of one image.

        Args:
            scores: Logits or probabilities, (1, K, H, W).
        """
        labels = best_class(scores)[0].cpu().numpy()
        return Prediction(labels=labels, class_names=self.class_names, palette=self.palette)

    def predict(self, image: str | os.PathLike[str] | Image.Image | NDArray[Any]) -> Prediction:
        """Segment one image, as `python -m autoseg.predict` does.

        Args:
            image: A file, a picture of Pillow, or an array: (H, W), (H, W, C) or (C, H, W), with
                colours as RGB; uint8, uint16, or floating point in [0, 1].

        Raises:
            FileError: If it cannot be read, or has other channels than the network reads.
            OSError: If the file is not there or may not be read.
        """
        num_channels = self.description.normalisation.num_channels
        if isinstance(image, str | os.PathLike):
            pixels = read_channels(Path(image), num_channels)
        else:
            pixels = image_channels(image, num_channels)
        return self.prediction(self.logits(torch.from_numpy(pixels)[None]))


def load(path: str | os.PathLike[str], *, weights: Which = "best") -> SegmentationModel:
    """Load a trained network, ready to segment images.

    Args:
        path: Run folder of a retrained network, or a file that `python -m autoseg.export` wrote
            with `--format safetensors`.
        weights: In a run folder, those of the best validation or the last ones.

    Returns:
        A model on the CPU; `model.to("cuda")` moves it, `model.predict("photo.jpg")` uses it.

    Raises:
        UsageError: If there is no such network, or it has operations that are not registered.
        FileError: If a file is damaged, or does not describe a network that this autoseg knows.
    """
    path = Path(path)
    if path.is_dir():
        trained = RetrainedNetwork.open(path)
        return SegmentationModel(trained.network(weights), trained.description_with_colours)
    if not path.exists():
        raise UsageError(f"{path} does not exist; name a run folder, or a file of a trained model.")
    if path.suffix.lower() != SUFFIX:
        raise UsageError(
            f"{path} is neither a run folder nor a {SUFFIX} file; other exported forms run without "
            "autoseg, as docs/export.md shows."
        )
    file = ModelFile.open(path)
    return SegmentationModel(file.description.network(file.weights(), path=path), file.description)
