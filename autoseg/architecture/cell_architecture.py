"""One discrete network of a cell space, as an immutable value."""

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
from autoseg.architecture.cell_operations import cell_operations, connecting_operations
from autoseg.architecture.cell_space import MIN_CELLS
from autoseg.foreign_text import shown

CELL_FORMAT = "autoseg-cell-architecture"
CELL_FORMAT_VERSION = 1

_FIELDS = ("format", "format_version", "space", "num_cells", "normal", "reduction")


@dataclass(frozen=True, kw_only=True, slots=True)
class CellArchitecture:
    """A normal and a reduction cell, and how many of both are stacked.

    Compares and hashes by value. A node's two edges are kept in the order of their sources; each
    node is the sum of its two edges, and a cell's output is the concatenation of its nodes. Which
    cells reduce is `reduction_cells`' to say.

    Source: DARTS, arXiv 1806.09055, figures 4 and 5.
    """

    space: str
    """Name of the cell space that it was decoded from."""
    num_cells: int
    """L, the cells of the network, at least 3."""
    normal: Cell
    """The two incoming edges of each node of the cells that keep the stride."""
    reduction: Cell
    """The two incoming edges of each node of the two cells that double the stride."""

    def __post_init__(self) -> None:
        if not isinstance(self.space, str) or not limits.is_name(self.space):
            raise ValueError(
                f"cell architecture: space = {shown(self.space)}, but {limits.NAME_RULE}."
            )
        if type(self.num_cells) is not int or not MIN_CELLS <= self.num_cells <= limits.MAX_LAYERS:
            raise ValueError(
                f"cell architecture: num_cells = {shown(self.num_cells)}, but it must be a whole "
                f"number from {MIN_CELLS} to {limits.MAX_LAYERS}."
            )
        for name, cell in self.cells.items():
            where = f"cell architecture: {name}"
            checked = checked_cell(cell, where=where, known=connecting_operations)
            object.__setattr__(self, name, checked)
        if len(self.normal) != len(self.reduction):
            raise ValueError(
                f"cell architecture: normal has {len(self.normal)} nodes and reduction "
                f"{len(self.reduction)}, but both cells have equally many."
            )

    @property
    def num_nodes(self) -> int:
        """Nodes of each of the two cells."""
        return len(self.normal)

    @property
    def cells(self) -> dict[str, Cell]:
        """Both cells, under what drawings call them."""
        return {"normal": self.normal, "reduction": self.reduction}

    @property
    def summary(self) -> str:
        """What tells it from others in a line: the operations of both cells."""
        labels = {name: operation.label for name, operation in cell_operations().items()}
        return "; ".join(
            f"{name} {', '.join(labels[edge.op] for node in cell for edge in node)}"
            for name, cell in self.cells.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `architecture.json`."""
        return {
            "format": CELL_FORMAT,
            "format_version": CELL_FORMAT_VERSION,
            "space": self.space,
            "num_cells": self.num_cells,
            "normal": cell_to_json(self.normal),
            "reduction": cell_to_json(self.reduction),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Build a cell architecture from `to_dict()`'s result.

        Raises:
            ValueError: If a field is missing, unknown, of the wrong type, or breaks a rule; the
                message names the field and the rule.
        """
        if not isinstance(content, Mapping) or content.get("format") != CELL_FORMAT:
            raise ValueError(f"cell architecture: the field 'format' must be {CELL_FORMAT!r}.")
        version = content.get("format_version")
        if type(version) is not int or version != CELL_FORMAT_VERSION:
            raise ValueError(
                f"cell architecture: format_version = {shown(version)}, but this autoseg reads "
                f"{CELL_FORMAT_VERSION}; update autoseg if the file is newer."
            )
        for key in sorted(set(_FIELDS) ^ set(content)):
            raise ValueError(
                f"cell architecture: {'missing' if key in _FIELDS else 'unknown'} field "
                f"{shown(key)}."
            )
        normal, reduction = (
            cell_from_json(
                content[name], where=f"cell architecture: {name}", known=connecting_operations
            )
            for name in ("normal", "reduction")
        )
        return cls(
            space=content["space"],
            num_cells=content["num_cells"],
            normal=normal,
            reduction=reduction,
        )

    def save(self, path: str | Path) -> None:
        """Write the architecture as readable JSON, one node of a cell a line.

        Raises:
            OSError: If the file cannot be written; the previous one is untouched then.
        """
        save_content(path, self.to_dict(), cells=list(self.cells))

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Read a cell architecture from a JSON file, or a shipped one by its name.

        Raises:
            UsageError: If the file does not exist.
            FileError: If it holds no cell architecture; the message names file, field and rule.
        """
        return load_built(name, cls.from_dict)

    def __str__(self) -> str:
        """Show the architecture on one screen."""
        lines = [f"{self.num_cells} cells"]
        for name, cell in self.cells.items():
            lines += [f"{name} cell", *(f"  {line}" for line in spell_cell(cell))]
        return "\n".join(lines)
