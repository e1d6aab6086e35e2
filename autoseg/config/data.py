"""Which images a command works on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from autoseg.config.field_types import require_in_range
from autoseg.config.ranges import Count, Range
from autoseg.errors import UsageError

Side = Annotated[int, Range(low=16, high=16_384)]
"""Height or width of images that are made to measure, in pixels."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A dataset, as a user names it."""

    dataset: str = "synthetic"
    """Name of the dataset: synthetic (drawn in the process, nothing to download), folder (your own
    images and masks), webdataset (the same in tar archives), or a published one as its archives
    unpack: camvid, voc, voc-aug, cityscapes, cityscapes-coarse, coco, coco-voc, ade20k."""
    data_root: Path | None = None
    """Folder of the dataset; of webdataset also a pattern of shards in quotes,
    'DIR/train-{000..007}.tar'. None reads the environment variable AUTOSEG_DATA."""
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
    cache: Literal["memory"] | Path | None = "memory"
    """Where images are kept once they are decoded: memory (of each process, gone at its end), or a
    folder (./memory if it is called so), from which the next run and all processes have them; none
    decodes each image every time."""
    cache_gib: Annotated[float, Range(low=0)] | None = None
    """Size up to which decoded images are kept, in GiB; none: 0.5 in memory, for each split and
    process, or 20 in a folder."""

    def __post_init__(self) -> None:
        """Check the numbers, and that the limit has something to limit.

        Raises:
            UsageError: If so.
        """
        require_in_range(self)
        if self.cache is None and self.cache_gib is not None:
            raise UsageError(
                f"--cache-gib {self.cache_gib:g} with --cache none: nothing is kept; leave one out."
            )
