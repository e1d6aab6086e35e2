"""Random changes of geometry and light, applied to an image and its label together."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.contract import Sample
from autoseg.data.crops import ANYWHERE, CropRule, span
from autoseg.data.scaled_part import MAX_WHOLE, scaled_part
from autoseg.errors import UsageError
from autoseg.normalisation import IMAGENET, Normalisation
from autoseg.upload import to_device

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the grey that keeps the perceived brightness


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Scale, crop, flip and photometric jitter; a pure function of a sample and a generator.

    Source: scale and flip of Chen et al. 2018 (DeepLabv3+, arXiv 1802.02611), section 4; there the
    scale goes in steps of 0.25. The jitter is this project's addition: the datasets here are small.
    """

    crop_size: tuple[int, int]
    """Height and width of every result, in pixels."""

    scale_range: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest factor on both sides of the image, drawn uniformly."""

    flip_probability: float = 0.5
    """Probability of swapping left and right."""

    brightness: float = 0.25
    """Pixels are multiplied by a factor drawn from 1 -+ this; 0 is off."""

    contrast: float = 0.25
    """Distances to the crop's mean grey are multiplied by a factor from 1 -+ this; 0 is off."""

    saturation: float = 0.25
    """Distances to each pixel's grey are multiplied by a factor from 1 -+ this; 0 is off."""

    crop_rule: CropRule = ANYWHERE
    """Rule for where crops lie; anywhere unless it says otherwise."""

    def __post_init__(self) -> None:
        if min(self.crop_size) < 1:
            raise UsageError(f"Augmentation: crop_size {self.crop_size} must be at least (1, 1).")
        smallest, largest = self.scale_range
        if not 0 < smallest <= largest:
            raise UsageError(
                f"Augmentation: scale_range {self.scale_range} must hold 0 < smallest <= largest."
            )
        if not 0 <= self.flip_probability <= 1:
            raise UsageError(
                f"Augmentation: flip_probability {self.flip_probability} must lie in [0, 1]."
            )
        for field in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, field) < 1:
                raise UsageError(
                    f"Augmentation: {field} {getattr(self, field)} must lie in [0, 1); "
                    "at 1 the image could turn black or grey."
                )

    def __call__(
        self,
        sample: Sample,
        generator: torch.Generator,
        *,
        ignore_index: int,
        normalisation: Normalisation = IMAGENET,
    ) -> tuple[Tensor, Tensor]:
        """Draw one version of a sample.

        Args:
            sample: Image uint8 (C, H, W) and target int64 (H, W), on one device, where the result
                is computed.
            generator: CPU generator; its state alone decides the result.
            ignore_index: Label of the pixels that padding adds; the dataset's.
            normalisation: The dataset's.

        Returns:
            The image, normalised as `normalise` does, float32, (C, *crop_size), and the target,
            int64, (*crop_size). Where the scaled image is smaller than the crop it lies at a
            random place, surrounded by the mean colour (0 after normalising) and
            `ignore_index`.
        """
        target = sample.target
        if target.numel() > MAX_WHOLE and self.crop_rule == ANYWHERE:
            return self.region_crop(
                (target.shape[0], target.shape[1]),
                lambda rows, columns: Sample(
                    sample.image[:, rows, columns], target[rows, columns], sample.name
                ),
                generator,
                ignore_index=ignore_index,
                normalisation=normalisation,
            )
        draws = self._draw(generator)
        size = list(draws.scaled((target.shape[0], target.shape[1])))
        image, target = _resize_image(sample.image, size), resize_label(target, size)
        if draws.is_flipped:
            image, target = image.flip(-1), target.flip(-1)
        (rows, pad_rows), (columns, pad_columns) = self.crop_rule.place(
            target, self.crop_size, draws.place, generator, ignore_index=ignore_index
        )
        image = self._lit(image[:, rows, columns], draws, normalisation)
        pad = (*pad_columns, *pad_rows)  # F.pad counts from the last axis
        return F.pad(image, pad), F.pad(target[rows, columns], pad, value=ignore_index)

    def region_crop(
        self,
        image_size: tuple[int, int],
        read: Callable[[slice, slice], Sample],
        generator: torch.Generator,
        *,
        ignore_index: int,
        normalisation: Normalisation = IMAGENET,
    ) -> tuple[Tensor, Tensor]:
        """Draw one version of a sample so large that no more of it is read than its crop shows.

        By the same generator it is the one that the whole sample gives: to the bit if that is of
        more than `MAX_WHOLE` pixels, else up to the rounding of float32.

        Args:
            image_size: Height and width of the whole sample.
            read: Gives rows and columns of it, each with both ends.
            generator: CPU generator; its state alone decides the result.
            ignore_index: Label of the pixels that padding adds; the dataset's.
            normalisation: The dataset's.

        Returns:
            Image and target, as from a whole sample. Crops lie anywhere, by no other rule.
        """
        draws = self._draw(generator)
        size = draws.scaled(image_size)
        (rows, pad_rows), (columns, pad_columns) = (
            span(side, crop, place)
            for side, crop, place in zip(size, self.crop_size, draws.place, strict=True)
        )
        if draws.is_flipped:  # where they lie before the turn
            columns = slice(size[1] - columns.stop, size[1] - columns.start)
        image, target = scaled_part(read, image_size, size, rows, columns)
        if draws.is_flipped:
            image, target = image.flip(-1), target.flip(-1)
        image = self._lit(image, draws, normalisation)
        pad = (*pad_columns, *pad_rows)
        return F.pad(image, pad), F.pad(target, pad, value=ignore_index)

    def _draw(self, generator: torch.Generator) -> "_Draws":
        # All draws first, in a fixed number: what a draw means does not depend on an earlier one.
        scale, flip, *place_and_light = torch.rand(
            7, generator=generator, dtype=torch.float64
        ).tolist()
        smallest, largest = self.scale_range
        return _Draws(
            scale=smallest + (largest - smallest) * scale,
            is_flipped=flip < self.flip_probability,
            place=(place_and_light[0], place_and_light[1]),
            light=tuple(place_and_light[2:]),
        )

    def _lit(self, crop: Tensor, draws: "_Draws", normalisation: Normalisation) -> Tensor:
        """Change the light of a float image in [0, 1], and normalise it."""
        return normalisation.from_unit(self._jitter(crop, *draws.light))

    def _jitter(
        self, image: Tensor, brightness: float, contrast: float, saturation: float
    ) -> Tensor:
        """Change the light of a float image in [0, 1]; the last three are draws in [0, 1)."""
        image = image * _factor(self.brightness, brightness)
        image = _blend(image, _grey(image).mean(), _factor(self.contrast, contrast))
        if len(image) == len(_LUMA):  # other channels have no colours to strengthen
            image = _blend(image, _grey(image), _factor(self.saturation, saturation))
        return image.clamp(0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draws:
    """What is drawn for one version of a sample."""

    scale: float
    is_flipped: bool
    place: tuple[float, float]
    """Where the crop lies, down and across, each in [0, 1)."""
    light: tuple[float, ...]
    """Brightness, contrast and saturation, each in [0, 1)."""

    def scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of a sample as scaled."""
        height, width = (max(1, round(side * self.scale)) for side in size)
        return height, width


def resize_label(target: Tensor, size: list[int]) -> Tensor:
    """Resize a label by taking the nearest pixel, so that no class is ever invented.

    Args:
        target: Classes, any integer dtype, (H, W).
        size: Height and width of the result.

    Returns:
        Same dtype, (*size). Pixel centres are at half-integers, as in the bilinear resizing of
        the image with align_corners=False; torch's own mode "nearest" lies half a pixel off.
    """
    rows, columns = (
        # floor((i + 1/2) * old / new) in integers, so that no rounding decides a tie
        (2 * torch.arange(new, device=target.device) + 1) * old // (2 * new)
        for old, new in zip(target.shape, size, strict=True)
    )
    return target[rows[:, None], columns]


def _resize_image(image: Tensor, size: list[int]) -> Tensor:
    """Scale a uint8 image (C, H, W) to [0, 1] and to `size`, averaging where it shrinks."""
    unit = image.to(torch.float32) / 255
    if list(image.shape[1:]) == size:
        return unit
    resized = F.interpolate(
        unit[None], size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized[0]


def _grey(image: Tensor) -> Tensor:
    if len(image) != len(_LUMA):
        return image.mean(0)
    luma = to_device(torch.tensor(_LUMA), image.device).view(3, 1, 1)
    return (image * luma).sum(0)


def _factor(strength: float, draw: float) -> float:
    """Map a draw in [0, 1) to [1 - strength, 1 + strength)."""
    return 1 + strength * (2 * draw - 1)


def _blend(image: Tensor, grey: Tensor, factor: float) -> Tensor:
    """Stretch the distance to grey; in this form a factor of 1 changes no bit."""
    return factor * image + (1 - factor) * grey
