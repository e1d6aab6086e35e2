"""Where a published dataset lies, and what is said where it does not."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.data.folder.pairing import Pair
from autoseg.errors import FileError, UsageError
from autoseg.foreign_text import printable

_NAME_IT = "Name the folder with --data-root DIR or the environment variable AUTOSEG_DATA"


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """What a dataset's official archives unpack to, and where a person asks for them."""

    dataset: str
    """The dataset's name."""
    files: str
    """The archives, as their site calls them."""
    site: str
    """The official site."""
    needed: tuple[str, ...]
    """Folders and files that must be there, below one of the places."""
    places: tuple[str, ...] = (".",)
    """Where, below the folder that the user names, the needed ones may lie; the first that has all
    of them counts."""

    @property
    def _expected(self) -> str:
        places = " or ".join("DIR" if place == "." else f"DIR/{place}" for place in self.places)
        return (
            f"Expected in {places}: {', '.join(self.needed)}, unpacked from {self.files}. Nothing "
            f"is downloaded, {self.site} gives the data out. {_NAME_IT}."
        )

    def find(self, data_root: str | Path | None) -> Path:
        """Find the folder in which everything needed lies.

        Args:
            data_root: The folder that the user names; None takes the environment's AUTOSEG_DATA.

        Raises:
            UsageError: If there is no such folder, or something is missing in it.
        """
        data_root = data_root or os.environ.get("AUTOSEG_DATA")
        if not data_root:
            raise UsageError(f"{self.dataset}: no data folder was given. {self._expected}")
        root = Path(data_root).expanduser()
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise UsageError(f"{self.dataset}: {printable(str(root))} {what}. {_NAME_IT}.")
        folders = [root / place for place in self.places]
        best = min(folders, key=lambda each: (not each.is_dir(), len(self._missing(each))))
        if missing := self._missing(best):
            raise UsageError(
                f"{self.dataset}: {printable(str(best))} has no {', '.join(missing)}. "
                f"{self._expected}"
            )
        return best

    def _missing(self, folder: Path) -> list[str]:
        return [name for name in self.needed if not (folder / name).exists()]

    def require_files(self, pairs: Sequence[Pair]) -> None:
        """Refuse pairs of which a file is not there.

        Raises:
            UsageError: If there is no pair.
            FileError: If files are missing; names the first and counts them.
        """
        if not pairs:
            raise UsageError(f"{self.dataset}: no image was found. {self._expected}")
        missing = [path for pair in pairs for path in (pair.image, pair.mask) if not path.is_file()]
        if missing:
            raise FileError(
                f"{printable(str(missing[0]))} does not exist: {len(missing):,} of the "
                f"{2 * len(pairs):,} images and labels of {self.dataset} are missing; unpack "
                f"{self.files} of {self.site} again."
            )

    def refuse_test(self, split: str) -> None:
        """Refuse the split whose labels the authors keep.

        Raises:
            UsageError: If the split is "test".
        """
        if split == "test":
            raise UsageError(
                f"{self.dataset}: the labels of its test images are not public, the benchmark's "
                f"server at {self.site} scores them; score --split val."
            )


def count_note(dataset: str, split: str, found: int, published: int) -> tuple[str, ...]:
    """Say that a split has another number of images than it was published with, if it has."""
    if found == published:
        return ()
    return (
        f"{dataset}: {split} has {found:,} images here and {published:,} as published, so scores "
        "are not comparable with published ones",
    )
