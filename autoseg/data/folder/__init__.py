"""A person's own images and masks: `--dataset folder --data-root DIR`."""

from autoseg.data.folder.dataset import FolderImages, require_readable
from autoseg.data.folder.faults import BadFilesError

__all__ = ["BadFilesError", "FolderImages", "require_readable"]
