"""CamVid, the 11-class SegNet split: street scenes filmed from a car, read in place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoseg.contract import SPLITS, Sample, SegmentationDataset
from autoseg.data.cache import DEFAULT_CACHE_MIB, KeepsSamples, Pixels, SampleCache
from autoseg.data.images import image_size, read_image
from autoseg.data.labels import read_labels
from autoseg.data.lists import read_list
from autoseg.data.spread import checked_indices
from autoseg.errors import FileError, UsageError, unknown_name

CLASSES: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("sky", (128, 128, 128)),
    ("building", (128, 0, 0)),
    ("pole", (192, 192, 128)),
    ("road", (128, 64, 128)),
    ("pavement", (60, 40, 222)),
    ("tree", (128, 128, 0)),
    ("sign", (192, 128, 128)),
    ("fence", (64, 64, 128)),
    ("car", (64, 0, 128)),
    ("pedestrian", (64, 64, 0)),
    ("cyclist", (0, 128, 192)),
)
"""Name and colour of SegNet's classes, in the order of their numbers."""

UNLABELLED = 11
"""Label of pixels without a class."""

ATTRIBUTION = "CamVid (Brostow, Fauqueur, Cipolla 2009; SegNet split), CC BY-NC 4.0"
_REMEDY = "name the folder with --data-root DIR or the environment variable AUTOSEG_DATA"


class CamVid(SegmentationDataset, KeepsSamples):
    """The split and the merged classes of SegNet; 360 x 480, label 11 (unlabelled) is ignored.

    Layout: `train.txt`, `val.txt`, `test.txt`, each line an image and its label, relative to the
    folder, separated by a space. Images are RGB; labels 8-bit with one channel. The files' presence
    and sizes are checked when the dataset is built, their pixels when they are first read.

    Source: Brostow, Fauqueur, Cipolla 2009, "Semantic object classes in video: a high-definition
    ground truth database"; split of Badrinarayanan, Kendall, Cipolla 2017 (SegNet).
    """

    def __init__(
        self,
        *,
        split: str,
        data_root: str | Path | None = None,
        cache_mib: float = DEFAULT_CACHE_MIB,
    ) -> None:
        """Find the files of a split.

        Args:
            split: One of `SPLITS`.
            data_root: The folder that holds the lists; None takes the environment's AUTOSEG_DATA.
            cache_mib: Memory for decoded samples, MiB, in every process that reads them; the
                train split needs 242. 0 decodes each sample every time.

        Raises:
            UsageError: If the folder or a list is missing, or a list is empty.
            FileError: If a file is missing or a list malformed, or an image and its label differ in
                size.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        self._root = find_root(data_root)
        self._files = _read_list(self._root / f"{split}.txt")
        super().__init__(
            name="camvid",
            split=split,
            class_names=tuple(name for name, _ in CLASSES),
            palette=np.array([colour for _, colour in CLASSES], np.uint8),
            ignore_index=UNLABELLED,
            largest_size=_largest_size(self._files),
            attribution=ATTRIBUTION,
        )
        self.keep_samples(SampleCache(cache_mib))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample.

        Raises:
            FileError: If a file cannot be decoded, or its label is not one channel of values up
                to 11; the message names the file.
        """
        self.check_index(index)
        image, label = self._cache.get(index, self._read)
        return Sample(image, label.to(torch.int64), self._files[index][0].stem)

    def check_labels(self) -> None:
        """Read the labels of `checked_indices`, and refuse values that are no class.

        Samples that are kept were checked when they were decoded.

        Raises:
            FileError: As reading a sample does.
        """
        for index in checked_indices(len(self._files)):
            if not self._cache.holds(index):
                self._read_label(self._files[index][1])

    def sources(self, index: int) -> tuple[Path, ...]:
        """Name the image and its label."""
        return self._files[index]

    def decoding(self) -> Iterator[str]:
        """Give what is special to this format: labels are the classes' numbers."""
        yield f"camvid {self.ignore_index}"

    def _contents(self) -> Iterator[str]:
        yield from super()._contents()
        root = self._root.absolute()  # where it lies does not count
        for path in (path for pair in self._files for path in pair):
            yield f"{path.absolute().relative_to(root).as_posix()} {path.stat().st_size}"

    def _read(self, index: int) -> Pixels:
        image_path, label_path = self._files[index]
        with _listed(image_path):
            pixels = torch.from_numpy(read_image(image_path))
        # (H, W, 3) -> (3, H, W)
        return pixels.permute(2, 0, 1).contiguous(), self._read_label(label_path)

    def _read_label(self, path: Path) -> Tensor:
        with _listed(path):
            label = read_labels(path).labels
        beyond = (label < 0) | (label > self.ignore_index)
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            raise FileError(
                f"{path}: label {label[row, column]} at row {row}, column {column}; labels are 0 "
                f"to {self.num_classes - 1}, or {self.ignore_index} for unlabelled. "
                "Is this the 11-class SegNet version of CamVid?"
            )
        return torch.from_numpy(label.astype(np.uint8))


def find_root(data_root: str | Path | None) -> Path:
    """Find CamVid's folder, the one named or the environment's.

    Raises:
        UsageError: If there is none, or it is empty.
    """
    if data_root is None:
        from_environment = os.environ.get("AUTOSEG_DATA")
        if not from_environment:
            raise UsageError(f"camvid: no data folder was given; {_REMEDY}.")
        data_root = from_environment
    root = Path(data_root).expanduser()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"camvid: the data folder {root} {what}; {_REMEDY}.")
    if not any(root.iterdir()):
        raise UsageError(f"camvid: the data folder {root} is empty; {_REMEDY}.")
    return root


def _read_list(path: Path) -> list[tuple[Path, Path]]:
    root = path.parent
    if not path.is_file():
        nested = [folder.parent for folder in sorted(root.glob(f"*/{path.name}"))]
        hint = f" Did you mean {nested[0]}?" if nested else ""
        raise UsageError(
            f"camvid: {root} has no list {path.name} (lines of 'image label', relative to the "
            "folder; SegNet's version), nor LabeledApproved_full/ with labels in 32 colours (the "
            f"authors' version, mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid); {_REMEDY}."
            f"{hint}"
        )
    files = read_list(path)
    if not files:
        raise UsageError(f"camvid: the list {path} is empty; {_REMEDY}.")
    return files


def _largest_size(files: list[tuple[Path, Path]]) -> tuple[int, int]:
    """Compare the sizes of images and labels; only the files' headers are read."""
    sizes = []
    for image_path, label_path in files:
        with _listed(image_path):
            size = image_size(image_path)
        with _listed(label_path):
            label_size = image_size(label_path)
        if size != label_size:
            raise FileError(
                f"{image_path} is {size[0]} x {size[1]} (height x width), but its label "
                f"{label_path} is {label_size[0]} x {label_size[1]}; they must be equal. "
                "Resize labels by nearest neighbour only."
            )
        sizes.append(size)
    return max(height for height, _ in sizes), max(width for _, width in sizes)


@contextmanager
def _listed(path: Path) -> Iterator[None]:
    """Say what to do about a file of a list that is missing or damaged."""
    try:
        yield
    except FileNotFoundError:
        raise FileError(
            f"{path}: the file is in the list, but does not exist; is the download complete?"
        ) from None
    except FileError as error:
        error.add_note("Copy it again from its source, or take its line out of the list.")
        raise
