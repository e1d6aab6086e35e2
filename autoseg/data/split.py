"""The images that a configuration names."""

from autoseg.config import DataConfig
from autoseg.contract import SegmentationDataset
from autoseg.data.registry import build_dataset


def images_in(
    train_dataset: SegmentationDataset, val_dataset: SegmentationDataset
) -> dict[str, str]:
    """Return the fingerprints that records and checkpoints keep of the images of a run."""
    return {"train": train_dataset.fingerprint(), "val": val_dataset.fingerprint()}


def build_split(data: DataConfig, split: str) -> SegmentationDataset:
    """Build the dataset's "train", "val" or "test" split.

    Raises:
        UsageError: If the dataset is unknown or not there, or an option is not one of its own.
    """
    return build_dataset(
        data.dataset,
        split=split,
        data_root=data.data_root,
        image_size=data.image_size,
        num_classes=data.num_classes,
        length=data.train_length if split == "train" else None,
        description=data.data,
    )
