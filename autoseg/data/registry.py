"""The datasets by name."""

from pathlib import Path
from typing import Protocol

from autoseg.data.base import SegmentationDataset
from autoseg.data.camvid import CamVid
from autoseg.data.folder import FolderImages
from autoseg.data.street.classes import StreetClass
from autoseg.data.synthetic import DEFAULT_IMAGE_SIZE, SyntheticStreets
from autoseg.errors import UsageError, unknown_name


class DatasetBuilder(Protocol):
    """Builds one split; takes the arguments of `build_dataset`, less the name."""

    def __call__(
        self,
        *,
        split: str,
        data_root: str | Path | None,
        image_size: tuple[int, int] | None,
        num_classes: int | None,
        length: int | None,
        seed: int,
        description: str | Path | None,
    ) -> SegmentationDataset:
        """Build it, or refuse an argument that the dataset has no use for."""
        ...


def _build_synthetic(
    *,
    split: str,
    data_root: str | Path | None,
    image_size: tuple[int, int] | None,
    num_classes: int | None,
    length: int | None,
    seed: int,
    description: str | Path | None,
) -> SegmentationDataset:
    if data_root is not None:
        raise UsageError(
            f"synthetic: data_root {str(data_root)!r} has no meaning, its scenes are drawn, not "
            "read; leave it out, or name the dataset that lies there."
        )
    _refuse_description("synthetic", description)
    return SyntheticStreets(
        split=split,
        image_size=DEFAULT_IMAGE_SIZE if image_size is None else image_size,
        num_classes=len(StreetClass) if num_classes is None else num_classes,
        length=length,
        seed=seed,
    )


def _build_camvid(
    *,
    split: str,
    data_root: str | Path | None,
    image_size: tuple[int, int] | None,
    num_classes: int | None,
    length: int | None,
    seed: int,
    description: str | Path | None,
) -> SegmentationDataset:
    del seed  # which images a split has is fixed
    _refuse_drawn("camvid", image_size=image_size, num_classes=num_classes, length=length)
    _refuse_description("camvid", description)
    return CamVid(split=split, data_root=data_root)


def _build_folder(
    *,
    split: str,
    data_root: str | Path | None,
    image_size: tuple[int, int] | None,
    num_classes: int | None,
    length: int | None,
    seed: int,
    description: str | Path | None,
) -> SegmentationDataset:
    del seed  # the description's split_seed decides which images a split has
    _refuse_drawn("folder", image_size=image_size, num_classes=num_classes, length=length)
    return FolderImages(split=split, data_root=data_root, description=description)


def _refuse_drawn(name: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise UsageError(
                f"{name}: {option} {value} cannot be chosen, the files decide it; leave it out "
                f"({option} belongs to the synthetic dataset)."
            )


def _refuse_description(name: str, description: str | Path | None) -> None:
    if description is not None:
        raise UsageError(
            f"{name}: a description, {str(description)!r}, is for --dataset folder, and the "
            f"classes of {name} are fixed; leave it out."
        )


DATASETS: dict[str, DatasetBuilder] = {
    "synthetic": _build_synthetic,
    "camvid": _build_camvid,
    "folder": _build_folder,
}
"""Every dataset that `build_dataset` knows."""


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
        split=split,
        data_root=data_root,
        image_size=image_size,
        num_classes=num_classes,
        length=length,
        seed=seed,
        description=description,
    )
