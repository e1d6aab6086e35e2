"""Which images a command works on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from autoseg.config.ranges import Count, Range

Side = Annotated[int, Range(low=16, high=16_384)]
"""A synthetic image's height or width, in pixels."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A dataset, as a user names it."""

    dataset: str = "synthetic"
    """Name of the dataset: synthetic (drawn in the process, nothing to download), folder (your own
    images and masks), or a published one as its archives unpack: camvid, voc, voc-aug, cityscapes,
    cityscapes-coarse, coco, coco-voc, ade20k."""
    data_root: Path | None = None
    """Folder of the dataset; none reads the environment variable AUTOSEG_DATA."""
    data: Path | None = None
    """TOML file that names a folder's classes, colours and splits; none: the dataset.toml that lies
    in the folder, if any."""
    image_size: tuple[Side, Side] | None = None
    """Height and width of the synthetic images, in pixels; none: 96 128. Other datasets have their
    own."""
    num_classes: Annotated[int, Range(low=2, high=12)] | None = None
    """Number of synthetic classes; none: all 12. Other datasets have their own."""
    train_length: Count | None = None
    """Number of synthetic training images; none: 512. Other datasets have their own."""
