"""Scores of some images, computed once: in memory, or on disk where they are too large for it."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoseg.atomic import write_error
from autoseg.runs.closing import Closing

_FOLDER_PREFIX = ".crf-logits-"


class LogitsCache(Closing):
    """Tensors in the order in which they were added; use as a context manager.

    On disk each is a file of its own, in a folder that goes when the block ends.
    """

    def __init__(self, folder: Path, *, on_disk: bool) -> None:
        """Start empty.

        Args:
            folder: Where the folder of files is made. Leftovers of a killed process in it are
                removed: the caller holds its lock.
            on_disk: Keep files rather than tensors.
        """
        for leftover in folder.glob(f"{_FOLDER_PREFIX}*"):
            for path in leftover.iterdir():
                path.unlink()
            leftover.rmdir()
        self._tensors: list[Tensor] = []
        self._paths: list[Path] = []
        self._folder = (
            tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX, dir=folder) if on_disk else None
        )

    def append(self, logits: Tensor) -> None:
        """Add a tensor; it is moved to the CPU.

        Raises:
            OSError: If the disk is full; says how much space is free.
        """
        logits = logits.detach().cpu()
        if self._folder is None:
            self._tensors.append(logits)
        else:
            path = Path(self._folder.name) / f"{len(self._paths)}.npy"
            try:
                np.save(path, logits.numpy())
            except OSError as error:  # numpy names neither the file nor the space that is free
                raise write_error(path, error) from error
            self._paths.append(path)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self._tensors) + len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """Return tensor `index`, on the CPU."""
        if self._folder is None:
            return self._tensors[index]
        return torch.from_numpy(np.load(self._paths[index]))

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()
