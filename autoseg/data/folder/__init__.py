"""A person's own images and masks: `--dataset folder --data-root DIR`."""

from autoseg.data.folder.dataset import FolderImages, require_readable

__all__ = ["FolderImages", "require_readable"]
