"""The datasets by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoseg.contract import SegmentationDataset
from autoseg.data.folder import FolderImages
from autoseg.data.published.ade20k import ade20k
from autoseg.data.published.camvid_colours import camvid
from autoseg.data.published.cityscapes import cityscapes, cityscapes_coarse
from autoseg.data.published.coco import coco, coco_voc
from autoseg.data.published.voc import voc, voc_augmented
from autoseg.data.shards.dataset import ShardedImages
from autoseg.data.street.classes import StreetClass
from autoseg.data.synthetic import DEFAULT_IMAGE_SIZE, SyntheticStreets
from autoseg.errors import UsageError, unknown_name

_NO_USE = {
    "data_root": "{dataset}: data_root {value!r} has no meaning, its scenes are drawn, not read; "
    "leave it out, or say by dataset what lies there: folder, for images and masks of your own.",
    "description": "{dataset}: a description, {value!r}, is for your own images, and the classes "
    "of {dataset} are fixed; leave it out.",
    **dict.fromkeys(
        ("image_size", "num_classes", "length"),
        "{dataset}: {name} {value} cannot be chosen, the files decide it; leave it out ({name} "
        "belongs to the synthetic dataset).",
    ),
}
"""What is said where a dataset has no use for an option, by the option's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetOptions:
    """What `build_dataset` was asked for; every dataset refuses what it has no use for."""

    split: str
    """One of "train", "val" and "test"."""
    data_root: str | Path | None = None
    """Folder of the files."""
    image_size: tuple[int, int] | None = None
    """Height and width of drawn images, in pixels."""
    num_classes: int | None = None
    """K of drawn images."""
    length: int | None = None
    """Number of drawn images."""
    seed: int = 0
    """Decides which images are drawn; files are the same under every seed."""
    description: str | Path | None = None
    """File that describes a folder."""

    def refuse(self, dataset: str, *names: str) -> None:
        """Refuse options that were given and that a dataset has no use for.

        Args:
            dataset: The dataset's name, for the message.
            names: Fields of this class that must have been left out.

        Raises:
            UsageError: If one was given.
        """
        for name in names:
            value = getattr(self, name)
            if value is not None:
                value = str(value) if isinstance(value, Path) else value
                raise UsageError(_NO_USE[name].format(dataset=dataset, name=name, value=value))


DatasetBuilder = Callable[[DatasetOptions], SegmentationDataset]
"""Builds one split, or refuses an option that the dataset has no use for."""


def _build_synthetic(options: DatasetOptions) -> SegmentationDataset:
    options.refuse("synthetic", "data_root", "description")
    return SyntheticStreets(
        split=options.split,
        image_size=DEFAULT_IMAGE_SIZE if options.image_size is None else options.image_size,
        num_classes=len(StreetClass) if options.num_classes is None else options.num_classes,
        length=options.length,
        seed=options.seed,
    )


def _build_folder(options: DatasetOptions) -> SegmentationDataset:
    # The description's split_seed decides which images a split has, not the options' seed.
    options.refuse("folder", "image_size", "num_classes", "length")
    return FolderImages(
        split=options.split, data_root=options.data_root, description=options.description
    )


def _build_shards(options: DatasetOptions) -> SegmentationDataset:
    options.refuse("webdataset", "image_size", "num_classes", "length")
    return ShardedImages(
        split=options.split, data_root=options.data_root, description=options.description
    )


def _published(name: str, build: Callable[..., SegmentationDataset]) -> DatasetBuilder:
    def build_split(options: DatasetOptions) -> SegmentationDataset:
        options.refuse(name, "image_size", "num_classes", "length", "description")
        return build(split=options.split, data_root=options.data_root)

    return build_split


_PUBLISHED: dict[str, Callable[..., SegmentationDataset]] = {
    "camvid": camvid,
    "voc": voc,
    "voc-aug": voc_augmented,
    "cityscapes": cityscapes,
    "cityscapes-coarse": cityscapes_coarse,
    "coco": coco,
    "coco-voc": coco_voc,
    "ade20k": ade20k,
}

DATASETS: dict[str, DatasetBuilder] = {
    "synthetic": _build_synthetic,
    "folder": _build_folder,
    "webdataset": _build_shards,
    **{name: _published(name, build) for name, build in _PUBLISHED.items()},
}
"""Builder of every dataset that `build_dataset` knows, by name; docs/adding_datasets.md."""


def build_dataset(
    name: str,
    *,
    split: str,
    data_root: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    length: int | None = None,
    seed: int = 0,
    description: str | Path | None = None,
) -> SegmentationDataset:
    """Build one split of a dataset.

    Args:
        name: A key of `DATASETS`.
        split: "train", "val" or "test".
        data_root: Folder of a dataset that is read from files; None takes the environment's
            AUTOSEG_DATA.
        image_size: Height and width in pixels, synthetic only; None for its default, (96, 128).
        num_classes: K, synthetic only; None for all 12.
        length: Number of samples, synthetic only; None for its default.
        seed: Decides which scenes synthetic draws. A dataset that is read from files has the
            same images under every seed.
        description: The dataset.toml of a folder; None for the one that lies in it, if any.

    Returns:
        The dataset.

    Raises:
        UsageError: If the name or split is unknown, an option has no meaning for this dataset, or
            its files are missing or wrong.
    """
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    return DATASETS[name](
        DatasetOptions(
            split=split,
            data_root=data_root,
            image_size=image_size,
            num_classes=num_classes,
            length=length,
            seed=seed,
            description=description,
        )
    )
