"""Datasets, joint transforms and training batches."""

from autoseg.data.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SPLITS,
    Sample,
    SegmentationDataset,
    normalise,
)
from autoseg.data.camvid import CamVid
from autoseg.data.loading import batch_generator, split_half, training_batches
from autoseg.data.registry import DATASETS, build_dataset
from autoseg.data.split import build_split
from autoseg.data.spread import labelled_indices, spread_indices
from autoseg.data.subset import Subset
from autoseg.data.synthetic import SyntheticStreets
from autoseg.data.transforms import Augmentation, resize_label

__all__ = [
    "DATASETS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SPLITS",
    "Augmentation",
    "CamVid",
    "Sample",
    "SegmentationDataset",
    "Subset",
    "SyntheticStreets",
    "batch_generator",
    "build_dataset",
    "build_split",
    "labelled_indices",
    "normalise",
    "resize_label",
    "split_half",
    "spread_indices",
    "training_batches",
]
