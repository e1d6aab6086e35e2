"""What takes pixels to the numbers that networks see: a mean and a deviation for each channel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.upload import to_device

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of the ImageNet training images, RGB in [0, 1]; also the colour of padding."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of the ImageNet training images, RGB in [0, 1]."""

_GREY_MEAN = sum(IMAGENET_MEAN) / 3
_GREY_STD = sum(IMAGENET_STD) / 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """Mean and standard deviation of each channel of images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def num_channels(self) -> int:
        """Channels of the images."""
        return len(self.mean)

    def from_unit(self, images: Tensor) -> Tensor:
        """Normalise float images in [0, 1], (..., C, H, W)."""
        # Made on a GPU's device, each would wait for all that the GPU still has to do.
        mean, std = (
            to_device(torch.tensor(numbers), images.device).view(-1, 1, 1)
            for numbers in (self.mean, self.std)
        )
        return (images - mean) / std


IMAGENET = Normalisation(mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""How the encoders' classifiers saw RGB images."""


def usual_normalisation(num_channels: int) -> Normalisation:
    """Return ImageNet's for RGB, and for other channels its mean over the three, for each."""
    if num_channels == IMAGENET.num_channels:
        return IMAGENET
    return Normalisation(mean=(_GREY_MEAN,) * num_channels, std=(_GREY_STD,) * num_channels)


def normalise(images: Tensor, normalisation: Normalisation = IMAGENET) -> Tensor:
    """Shift and scale pixels as the network was trained to see them.

    Args:
        images: uint8, (..., C, H, W).
        normalisation: The dataset's normalisation; ImageNet's for RGB, as the encoders expect them.

    Returns:
        (images / 255 - mean) / std, float32, same shape and device.

    Raises:
        ValueError: If the dtype is not uint8 or the third axis from the end is not the channels.
    """
    if images.dtype != torch.uint8:
        raise ValueError(
            f"normalise: images are {images.dtype}; expected uint8 in 0..255 "
            "(images that are already float may already be normalised)."
        )
    if images.ndim < 3 or images.shape[-3] != normalisation.num_channels:
        raise ValueError(
            f"normalise: images are {tuple(images.shape)}; expected "
            f"(..., {normalisation.num_channels}, H, W)."
        )
    return normalisation.from_unit(images.to(torch.float32) / 255)


def rgb_channels(num_channels: int) -> tuple[int, int, int]:
    """Choose what stands for red, green and blue: the first three channels, or the first as grey.

    What needs colours sees these: pictures and the dense CRF.
    """
    return (0, 1, 2) if num_channels >= 3 else (0, 0, 0)


def as_rgb(images: Tensor) -> Tensor:
    """Show images of any channels, (..., C, H, W), as RGB, (..., 3, H, W), by `rgb_channels`."""
    num_channels = images.shape[-3]
    return images if num_channels == 3 else images[..., rgb_channels(num_channels), :, :]
