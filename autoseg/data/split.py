"""The images that a configuration names."""

from pathlib import Path

from autoseg.config import DataConfig
from autoseg.contract import SegmentationDataset
from autoseg.data.cache import KeepsSamples, SampleCache
from autoseg.data.disk_cache import DISK_CACHE_GIB, DiskCache
from autoseg.data.registry import build_dataset
from autoseg.errors import UsageError


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
    dataset = build_dataset(
        data.dataset,
        split=split,
        data_root=data.data_root,
        image_size=data.image_size,
        num_classes=data.num_classes,
        length=data.train_length if split == "train" else None,
        description=data.data,
    )
    _keep_samples(dataset, data)
    return dataset


def _keep_samples(dataset: SegmentationDataset, data: DataConfig) -> None:
    """Let a dataset keep its samples where the user says."""
    if not isinstance(dataset, KeepsSamples):
        if (data.cache, data.cache_gib) != ("memory", None):
            raise UsageError(
                f"--cache and --cache-gib: the dataset {data.dataset} keeps its images in a way of "
                "its own; leave the options out."
            )
    elif isinstance(data.cache, Path):
        max_gib = DISK_CACHE_GIB if data.cache_gib is None else data.cache_gib
        dataset.keep_samples(
            DiskCache(
                data.cache,
                max_gib=max_gib,
                decoding=dataset.decoding(),
                sources=dataset.sources,
            )
        )
    elif data.cache is None:
        dataset.keep_samples(SampleCache(0))
    elif data.cache_gib is not None:
        dataset.keep_samples(SampleCache(2**10 * data.cache_gib))
