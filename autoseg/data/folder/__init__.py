"""A person's own images and masks: `--dataset folder --data-root DIR`."""

from autoseg.data.folder.dataset import FolderImages

__all__ = ["FolderImages"]
