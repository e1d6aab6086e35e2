"""One discrete network, as an immutable value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from autoseg.architecture import limits
from autoseg.architecture.architecture_files import load_built, save_content
from autoseg.architecture.cell import (
    Cell,
    cell_from_json,
    cell_to_json,
    checked_cell,
    spell_cell,
)
from autoseg.architecture.operations import NO_OPERATION, OPERATIONS
from autoseg.foreign_text import shown

FORMAT = "autoseg-architecture"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A cell and a path: what a search finds and what a network is built from.

    Compares and hashes by value. A node's two edges are kept in the order of their sources, so that
    one network has one value. Each node is the sum of its two edges; the cell's output is the
    concatenation of its nodes.

    Source: Auto-DeepLab, arXiv 1901.02985, section 3 and figure 3.
    """

    space: str
    """Name of the search space that it was decoded from."""
    strides: tuple[int, ...]
    """Strides of the trellis levels, finest first."""
    path: tuple[int, ...]
    """Stride of each layer's cell."""
    cell: Cell
    """The two incoming edges of each node."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))
        object.__setattr__(self, "path", tuple(self.path))
        if not isinstance(self.space, str) or not limits.is_name(self.space):
            raise ValueError(f"architecture: space = {shown(self.space)}, but {limits.NAME_RULE}.")
        self._check_path()
        cell = checked_cell(self.cell, where="architecture: cell", known=_operations)
        object.__setattr__(self, "cell", cell)

    def _check_path(self) -> None:
        if problem := limits.strides_problem(self.strides):
            raise ValueError(f"architecture: strides = {shown(self.strides)}, but {problem}.")
        if not self.path:
            raise ValueError("architecture: path is empty, but it needs one stride a layer.")
        _require_at_most("path", len(self.path), limits.MAX_LAYERS, "layers")
        levels = []
        for layer, stride in enumerate(self.path):
            # 4.0 and true would pass as members, but do not survive the JSON file.
            if type(stride) is not int or stride not in self.strides:
                raise ValueError(
                    f"architecture: path[{layer}] = {shown(stride)}, but the strides are "
                    f"{self.strides}."
                )
            levels.append(self.strides.index(stride))
        # The stem ends at level 0.
        for layer, (before, after) in enumerate(zip([0, *levels], levels, strict=False)):
            if abs(after - before) > 1:
                raise ValueError(
                    f"architecture: path[{layer}] goes from stride {self.strides[before]} to "
                    f"{self.strides[after]}, but a layer may at most halve or double the stride."
                )

    @property
    def num_layers(self) -> int:
        """L, the number of cells."""
        return len(self.path)

    @property
    def num_nodes(self) -> int:
        """B, the number of nodes in the cell."""
        return len(self.cell)

    @property
    def cells(self) -> dict[str, Cell]:
        """The cell, under what drawings call it."""
        return {"cell": self.cell}

    @property
    def summary(self) -> str:
        """What tells it from others in a line: its path."""
        return f"path {' '.join(map(str, self.path))}"

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `architecture.json`."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "space": self.space,
            "strides": list(self.strides),
            "path": list(self.path),
            "cell": cell_to_json(self.cell),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Build an architecture from `to_dict()`'s result.

        Raises:
            ValueError: If a field is missing, unknown, of the wrong type, or breaks a rule; the
                message names the field and the rule.
        """
        expected = {"format", "format_version", "space", "strides", "path", "cell"}
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise ValueError(f"architecture: the field 'format' must be {FORMAT!r}.")
        version = content.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise ValueError(
                f"architecture: format_version = {shown(version)}, but this autoseg reads "
                f"{FORMAT_VERSION}; update autoseg if the file is newer."
            )
        for key in sorted(expected ^ set(content)):
            raise ValueError(
                f"architecture: {'missing' if key in expected else 'unknown'} field {shown(key)}."
            )
        if not isinstance(content["space"], str):
            raise ValueError(
                f"architecture: space = {shown(content['space'])}, but it must be a name."
            )
        for key in ("strides", "path"):
            value = content[key]
            if not isinstance(value, list) or not all(type(item) is int for item in value):
                raise ValueError(
                    f"architecture: {key} = {shown(value)}, but it must be a list of whole numbers."
                )
        return cls(
            space=content["space"],
            strides=tuple(content["strides"]),
            path=tuple(content["path"]),
            cell=cell_from_json(content["cell"], where="architecture: cell", known=_operations),
        )

    def save(self, path: str | Path) -> None:
        """Write the architecture as readable JSON, one node of the cell a line.

        Raises:
            OSError: If the file cannot be written; the previous one is untouched then.
        """
        save_content(path, self.to_dict(), cells=list(self.cells))

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Read an architecture from a JSON file, or a shipped one by its name.

        Raises:
            UsageError: If the file does not exist.
            FileError: If the file is not an architecture; the message names file, field and rule.
        """
        return load_built(name, cls.from_dict)

    def __str__(self) -> str:
        """Show the architecture on one screen."""
        lines = [f"path  {' '.join(map(str, self.path))}", *spell_cell(self.cell)]
        return "\n".join(lines)


def _operations() -> list[str]:
    return [name for name in OPERATIONS if name != NO_OPERATION]


def _require_at_most(field: str, count: int, highest: int, what: str) -> None:
    if count > highest:
        raise ValueError(
            f"architecture: {field} has {count:,} {what}, but at most {highest} are allowed."
        )
