"""What a user can say to `python -m autoseg.data`."""

from dataclasses import dataclass
from pathlib import Path

from autoseg.config import CountOrNone, Request
from autoseg.errors import UsageError

INIT = "init"
"""The word that asks for a dataset.toml."""


@dataclass(frozen=True, kw_only=True)
class DataRequest(Request):
    """What a user can say to `python -m autoseg.data`."""

    what: tuple[str, ...]
    """A folder of images and masks, or a dataset's name (synthetic, camvid, voc, cityscapes, ...);
    `init` before a folder writes a dataset.toml into it."""
    data_root: Path | None = None
    """Folder of a dataset that is named; none reads the environment variable AUTOSEG_DATA."""
    data: Path | None = None
    """TOML file that names a folder's classes, colours and splits; none: the dataset.toml that lies
    in the folder, if any. With `init`, the file to write."""
    out: Path = Path("dataset-card")
    """Folder for card.md and samples.png, the contact sheet."""
    num_samples: CountOrNone = 12
    """Images on the contact sheet; 0 draws none."""

    def __post_init__(self) -> None:
        """Check what the types do not say.

        Raises:
            UsageError: If there is not one folder or name.
        """
        super().__post_init__()
        if len(self.what) != 1 + self.is_init:
            raise UsageError(
                f"{' '.join(self.what)}: name one folder or dataset, or `{INIT}` and a folder."
            )

    @property
    def is_init(self) -> bool:
        """Whether a dataset.toml is to be written."""
        return self.what[0] == INIT

    @property
    def target(self) -> str:
        """The folder or name."""
        return self.what[-1]
