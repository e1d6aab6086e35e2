"""Datasets, joint transforms and training batches."""

from typing import TYPE_CHECKING

from autoseg.deferred import deferred_names

if TYPE_CHECKING:
    from autoseg.contract import SPLITS, Sample, SegmentationDataset
    from autoseg.data.camvid import CamVid
    from autoseg.data.crops import CropRule
    from autoseg.data.folder import FolderImages
    from autoseg.data.loading import batch_generator, split_half, training_batches
    from autoseg.data.registry import DATASETS, DatasetOptions, build_dataset
    from autoseg.data.resident import ResidentSamples, stay_on_device
    from autoseg.data.split import build_split, images_in
    from autoseg.data.spread import labelled_indices, spread_indices
    from autoseg.data.subset import Subset
    from autoseg.data.synthetic import SyntheticStreets
    from autoseg.data.transforms import Augmentation, resize_label
    from autoseg.normalisation import (
        IMAGENET,
        IMAGENET_MEAN,
        IMAGENET_STD,
        Normalisation,
        as_rgb,
        normalise,
        rgb_channels,
    )
else:
    __getattr__, __dir__ = deferred_names(
        __name__,
        ".contract",
        ".normalisation",
        "camvid",
        "crops",
        "folder",
        "loading",
        "registry",
        "resident",
        "split",
        "spread",
        "subset",
        "synthetic",
        "transforms",
    )

__all__ = [
    "DATASETS",
    "IMAGENET",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SPLITS",
    "Augmentation",
    "CamVid",
    "CropRule",
    "DatasetOptions",
    "FolderImages",
    "Normalisation",
    "ResidentSamples",
    "Sample",
    "SegmentationDataset",
    "Subset",
    "SyntheticStreets",
    "as_rgb",
    "batch_generator",
    "build_dataset",
    "build_split",
    "images_in",
    "labelled_indices",
    "normalise",
    "resize_label",
    "rgb_channels",
    "split_half",
    "spread_indices",
    "stay_on_device",
    "training_batches",
]
