"""A search: what its run folder says of it, opened once."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.architecture import AnyArchitecture, Space, load_architecture, space_from_dict
from autoseg.runs import load_record, reading_record, schema
from autoseg.trained.own_operations import require_own_operations

ARCHITECTURE_NAME = "architecture.json"
"""The architecture, in the run folder of a search and in that of a network built from it."""

_CONFIG = schema.fields({"search_space": schema.mapping})


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRun:
    """A search as its run folder has it: finished, or one to go on with."""

    folder: Path
    """Run folder of the search."""
    record: dict[str, Any]
    """run.json; `space` was read from it."""
    space: Space
    """The space that is searched, at the size of the preset."""

    @classmethod
    def open(cls, folder: Path) -> "SearchRun":
        """Read a search's record.

        Raises:
            UsageError: If the folder holds no run, or the space has operations that are not
                registered.
            FileError: If the record lacks a search space, or holds one that cannot be.
        """
        record = load_record(folder)
        require_own_operations(record["config"], folder)
        with reading_record(folder):
            _CONFIG(record["config"], "config")
            space = space_from_dict(record["config"]["search_space"])
        return cls(folder=folder, record=record, space=space)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the search, as the record has them."""
        return self.record["config"]


def search_that_found(architecture: AnyArchitecture, folders: Iterable[Path]) -> Path | None:
    """Find the search that found an architecture.

    Args:
        architecture: What was found.
        folders: Run folders of searches, oldest first.

    Returns:
        The newest of them whose architecture.json holds it; None if there is none. A folder whose
        file cannot be read is passed over: it says nothing of this architecture.
    """
    for folder in reversed(list(folders)):
        try:
            if load_architecture(folder / ARCHITECTURE_NAME) == architecture:
                return folder
        except (ValueError, OSError):
            continue
    return None
