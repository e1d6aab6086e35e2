"""Street scenes drawn in the process: data on a machine that has none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from autoseg.contract import SPLITS, Sample, SegmentationDataset
from autoseg.data.cache import DEFAULT_CACHE_MIB, KeepsSamples, Pixels, SampleCache
from autoseg.data.street.classes import PALETTE, VOID, StreetClass, merge_table
from autoseg.data.street.scene import draw_street
from autoseg.errors import UsageError, unknown_name

DEFAULT_IMAGE_SIZE = (96, 128)
"""Height and width, in pixels."""

DEFAULT_LENGTH = {"train": 512, "val": 64, "test": 64}
"""Samples a split, if no other number is asked for; there is no end to them."""

_SMALLEST_SIDE = 16


class SyntheticStreets(SegmentationDataset, KeepsSamples):
    """Small street scenes with exact labels, up to 12 classes, as many as wanted.

    A camera looks along a street in perspective: road, pavements, grass, houses, trees and sky,
    and cars, buses, people, poles, signs and fences at many scales, which cover one another, in
    changing light, haze and blur, with noise. Colours are shared between classes, so that shape,
    texture, size and place decide. Label 255 (bins and the camera car's bonnet) is ignored.

    Sample `i` is a pure function of (seed, split, i) and of the size, in any process. The splits
    never share a scene. With fewer than 12 classes the first ones are kept and the others merge
    into them as `autoseg.data.street.classes.PARENT` says.
    """

    def __init__(
        self,
        *,
        split: str,
        image_size: tuple[int, int] = DEFAULT_IMAGE_SIZE,
        num_classes: int = len(StreetClass),
        length: int | None = None,
        seed: int = 0,
        cache_mib: float = DEFAULT_CACHE_MIB,
    ) -> None:
        """Choose the scenes; nothing is drawn yet.

        Args:
            split: One of `SPLITS`.
            image_size: Height and width in pixels, each at least 16.
            num_classes: K, from 2 to 12.
            length: Number of samples; None for `DEFAULT_LENGTH`. Samples of a longer set begin
                with those of a shorter one.
            seed: Other seeds give other scenes.
            cache_mib: Memory for drawn scenes, MiB, in every process that reads them; 512 scenes
                of the default size need 24. 0 draws each scene every time.

        Raises:
            UsageError: If an argument is out of range.
        """
        length = DEFAULT_LENGTH.get(split, 1) if length is None else length
        _check(split, image_size=image_size, num_classes=num_classes, length=length, seed=seed)
        kept = list(StreetClass)[:num_classes]
        super().__init__(
            name="synthetic",
            split=split,
            class_names=tuple(street_class.name.lower() for street_class in kept),
            palette=np.array([PALETTE[street_class] for street_class in kept], np.uint8),
            ignore_index=VOID,
            largest_size=image_size,
        )
        self._image_size = image_size
        self._merge_table = merge_table(num_classes)
        self._length = length
        self._seed = seed
        self.keep_samples(SampleCache(cache_mib))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        """Draw a sample: about 7 ms at the default size on one core, if it is not in memory."""
        self.check_index(index)
        image, label = self._cache.get(index, self._draw)
        return Sample(image, label.to(torch.int64), f"{self.split}_{index:05d}")

    def sources(self, index: int) -> tuple[Path, ...]:
        """Name no file: scenes are drawn."""
        return ()

    def decoding(self) -> Iterator[str]:
        """Give what, with its index, decides a scene."""
        yield f"synthetic {self.split} {self._seed} {self._image_size} {self.num_classes}"

    def _contents(self) -> Iterator[str]:
        yield from super()._contents()
        yield f"seed {self._seed}"

    def _draw(self, index: int) -> Pixels:
        rng = np.random.default_rng((self._seed, SPLITS.index(self.split), index))
        height, width = self._image_size
        image, label = draw_street(rng, height=height, width=width)
        # (H, W, 3) -> (3, H, W)
        pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return pixels, torch.from_numpy(self._merge_table[label])


def _check(
    split: str, *, image_size: tuple[int, int], num_classes: int, length: int, seed: int
) -> None:
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if min(image_size) < _SMALLEST_SIDE:
        raise UsageError(
            f"synthetic: image_size {image_size} (height, width) is too small to draw in; "
            f"use at least ({_SMALLEST_SIDE}, {_SMALLEST_SIDE})."
        )
    if not 2 <= num_classes <= len(StreetClass):
        raise UsageError(
            f"synthetic: num_classes {num_classes} must lie from 2 to {len(StreetClass)}."
        )
    if length < 1:
        raise UsageError(f"synthetic: length {length} must be at least 1.")
    if seed < 0:
        raise UsageError(f"synthetic: seed {seed} must not be negative.")
