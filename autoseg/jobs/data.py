"""Which images a command works on."""

from dataclasses import dataclass
from pathlib import Path

from autoseg.data import SegmentationDataset, build_dataset


# Without slots: a request inherits from it and from a strategy's or a training's settings.
@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """A dataset, as a user names it."""

    dataset: str = "synthetic"
    """Name of the dataset: synthetic (drawn in the process, nothing to download) or camvid."""
    data_root: Path | None = None
    """Folder of the dataset; none reads the environment variable AUTOSEG_DATA."""
    image_size: tuple[int, int] | None = None
    """Height and width of the synthetic images, in pixels; none: 96 128. Other datasets have their
    own."""
    num_classes: int | None = None
    """Number of synthetic classes, 2 to 12; none: all. Other datasets have their own."""

    train_length: int | None = None
    """Number of synthetic training images; none: 512. Other datasets have their own."""

    def build(self, split: str) -> SegmentationDataset:
        """Build the dataset's "train", "val" or "test" split.

        Raises:
            UsageError: If the dataset is unknown or not there, or an option is not one of its own.
        """
        return build_dataset(
            self.dataset,
            split=split,
            data_root=self.data_root,
            image_size=self.image_size,
            num_classes=self.num_classes,
            length=self.train_length if split == "train" else None,
        )
