"""The cell space: what may be chosen where the backbone is fixed and its two cells are searched."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from autoseg.architecture import limits
from autoseg.architecture.cell import num_edges_before
from autoseg.architecture.cell_operations import cell_operations
from autoseg.architecture.operations import NO_OPERATION, OWN_REMEDY
from autoseg.architecture.space_files import RECORD, read_space
from autoseg.errors import UsageError, unknown_name
from autoseg.foreign_text import shown

KIND = "cells"
"""Value of the field `kind` by which a file or a record says that it is a cell space."""

MIN_CELLS = 3
"""With fewer, the two reduction cells would be one."""

EdgeOperations = tuple[tuple[str, ...], ...]
"""Candidate operations of each edge of a cell, in the order of alpha's rows and columns."""

_INTEGERS = ("num_cells", "retrain_num_cells", "num_nodes", "filter_multiplier")
_EDGES = ("normal_operations", "reduction_operations")


@dataclass(frozen=True, kw_only=True, slots=True)
class CellSpace:
    """A set of networks: a normal and a reduction cell, stacked in a fixed order.

    The stem ends at stride 4. Cells number L // 3 and 2L // 3 (from 0) are reduction cells, which
    double stride and channels; all others are normal cells. The last cell is at stride 16, and
    DeepLab v3+'s head follows.

    Source: DARTS, arXiv 1806.09055, sections 2.1 and A.1.
    """

    name: str
    """Name of the space, as users write it after `--space`."""
    paper: str
    """Paper or place that the space comes from."""
    num_cells: int
    """L of the supernet, at least 3."""
    retrain_num_cells: int
    """L of the networks that are retrained."""
    num_nodes: int
    """Nodes of a cell, each with two edges in the end."""
    normal_operations: EdgeOperations
    """Candidates of each edge of the normal cell, ordered by node, then by source."""
    reduction_operations: EdgeOperations
    """Candidates of each edge of the reduction cell, in the same order."""
    stem_channels: tuple[int, int, int]
    """Output channels of the three 3x3 stem convolutions (strides 2, 1, 2) of the supernet."""
    filter_multiplier: int
    """F of the supernet: a node at stride s has F * s / 4 channels (DARTS' C is F)."""

    strides: ClassVar[tuple[int, ...]] = (4, 8, 16)
    """Strides of the cells: before, between and after the reductions."""

    def __post_init__(self) -> None:
        def require(valid: bool, field: str, rule: str) -> None:
            if not valid:
                value = shown(getattr(self, field))
                raise UsageError(f"cell space {shown(self.name)}: {field} = {value}, but {rule}.")

        def require_range(field: str, lowest: int, highest: int) -> None:
            value = getattr(self, field)
            require(value >= lowest, field, f"it must be at least {lowest}")
            require(value <= highest, field, f"it may be at most {highest}")

        require(limits.is_name(self.name), "name", limits.NAME_RULE)
        is_text = len(self.paper) <= limits.MAX_TEXT and self.paper.isprintable()
        require(is_text, "paper", limits.TEXT_RULE)
        require_range("num_cells", MIN_CELLS, limits.MAX_LAYERS)
        require_range("retrain_num_cells", MIN_CELLS, limits.MAX_LAYERS)
        require_range("num_nodes", 1, limits.MAX_NODES)
        require_range("filter_multiplier", 2, limits.MAX_CHANNELS)
        require(
            len(self.stem_channels) == 3
            and all(1 <= each <= limits.MAX_STEM_CHANNELS for each in self.stem_channels),
            "stem_channels",
            f"it must be three numbers from 1 to {limits.MAX_STEM_CHANNELS}",
        )
        widest = self.num_nodes * self.num_channels(self.strides[-1])
        require(
            widest <= limits.MAX_CHANNELS,
            "filter_multiplier",
            f"a cell of {self.num_nodes} nodes at stride {self.strides[-1]} then has {widest:,} "
            f"channels, and may have {limits.MAX_CHANNELS:,}",
        )
        for field in _EDGES:
            self._check_edges(field, getattr(self, field))
        num_candidates = self.num_cells * self.num_edges * len(self.normal_operations[0])
        require(
            num_candidates <= limits.MAX_CANDIDATES,
            "num_cells",
            f"with {self.num_edges} edges these are {num_candidates:,} operations in all, and may "
            f"be {limits.MAX_CANDIDATES:,}",
        )

    def _check_edges(self, field: str, edges: EdgeOperations) -> None:
        where = f"cell space {shown(self.name)}: {field}"
        if len(edges) != self.num_edges:
            raise UsageError(
                f"{where} lists {len(edges)} edges, but {self.num_nodes} nodes have "
                f"{self.num_edges}: node b reads 2 + b states."
            )
        known = cell_operations()
        for index, names in enumerate(edges):
            for name in names:
                if name not in known:
                    unknown = unknown_name("operation", name[: limits.MAX_NAME], known)
                    raise UsageError(f"{where}[{index}]: {unknown} {OWN_REMEDY}")
            if len(set(names)) != len(names) or not set(names) - {NO_OPERATION}:
                raise UsageError(
                    f"{where}[{index}] = {shown(names)}, but it must list each operation once, and "
                    f"at least one besides {NO_OPERATION!r}."
                )
            if len(names) != len(edges[0]):
                raise UsageError(
                    f"{where}[{index}] = {shown(names)}, but edge 0 has {len(edges[0])} "
                    "operations: all edges of a cell have equally many, since alpha is a matrix."
                )

    @classmethod
    def load(cls, name: str | Path, *, preset: str | None = None) -> Self:
        """Read a cell space by the name of a shipped file, or from a TOML file of the user's.

        The file says `kind = "cells"`, and gives either `operations`, the candidates of every edge,
        or `normal_operations` and `reduction_operations`, a list for each edge.

        Args:
            name: "darts_cells" and the like, or a path that ends in ".toml".
            preset: Sizes to take from the file, by name; see `SearchSpace.load`.

        Raises:
            UsageError: If there is no such space, preset or field, or a value breaks a rule.
            FileError: If the file is no TOML file, or too large for a space.
        """
        table, where = read_space(name, preset=preset)
        return cls.from_dict(table, where=where)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], *, where: str = RECORD) -> Self:
        """Build a space from `to_dict()`'s result, as stored in a run's record.

        Args:
            table: The fields.
            where: What holds them, for messages.

        Raises:
            UsageError: If a field is missing, unknown, of the wrong type, or breaks a rule.
        """
        values: dict[str, Any] = dict(table)
        if (kind := values.pop("kind", None)) != KIND:
            raise UsageError(f"{where}: kind = {shown(kind)}, but a cell space has {KIND!r}.")
        _require_fields(values, where)
        for field in ("name", "paper"):
            _require_type(values, field, type(values[field]) is str, "a text", where)
        for field in _INTEGERS:
            _require_type(values, field, type(values[field]) is int, "a whole number", where)
        stem, num_nodes = values["stem_channels"], values["num_nodes"]
        is_stem = isinstance(stem, list) and all(type(each) is int for each in stem)
        _require_type(values, "stem_channels", is_stem, "a list of whole numbers", where)
        if "operations" in values:
            _require_type(
                values, "operations", _are_names(values["operations"]), "a list of names", where
            )
            common = tuple(values.pop("operations"))
            # Checked below; here it only must not take memory.
            edges = (common,) * num_edges_before(min(max(0, num_nodes), limits.MAX_NODES))
            values |= dict.fromkeys(_EDGES, edges)
        else:
            for field in _EDGES:
                lists = values[field]
                valid = isinstance(lists, list) and all(_are_names(each) for each in lists)
                _require_type(values, field, valid, "a list of names for each edge", where)
                values[field] = tuple(tuple(each) for each in lists)
        try:
            return cls(**{**values, "stem_channels": tuple(stem)})
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON can hold."""
        values: dict[str, Any] = {"kind": KIND}
        values |= {field.name: getattr(self, field.name) for field in fields(self)}
        if len({*self.normal_operations, *self.reduction_operations}) == 1:
            values["operations"] = list(self.normal_operations[0])
            del values["normal_operations"], values["reduction_operations"]
        else:
            values |= {field: [list(edge) for edge in values[field]] for field in _EDGES}
        return values | {"stem_channels": list(self.stem_channels)}

    @property
    def operations(self) -> tuple[str, ...]:
        """Every operation that some edge may have, once."""
        edges = self.normal_operations + self.reduction_operations
        return tuple(dict.fromkeys(name for names in edges for name in names))

    @property
    def num_edges(self) -> int:
        """Edges of a cell: node b has 2 + b predecessors; 14 with 4 nodes."""
        return num_edges_before(self.num_nodes)

    @property
    def coarsest_stride(self) -> int:
        """Stride of the last cell."""
        return self.strides[-1]

    def num_channels(self, stride: int) -> int:
        """Channels of a node at `stride` in the supernet: F * s / 4."""
        return self.filter_multiplier * stride // 4


def _require_fields(values: dict[str, Any], where: str) -> None:
    """Refuse what is no field, and what lacks one; candidates come in one of two forms."""
    others = ["name", "paper", *_INTEGERS, "stem_channels"]
    candidates = ["operations"] if "operations" in values else list(_EDGES)
    for key in values:
        if key not in (*others, *candidates):
            if key in _EDGES:
                raise UsageError(
                    f"{where}: it has both operations and {key}; give the operations of all edges, "
                    "or those of each edge of both cells."
                )
            raise unknown_name(
                f"field of a cell space in {where}:",
                key[: limits.MAX_NAME],
                [*others, "operations", *_EDGES],
            )
    missing = [key for key in (*others, *candidates) if key not in values]
    if missing:
        raise UsageError(f"{where}: missing field {missing[0]!r} of the cell space.")


def _require_type(
    values: dict[str, Any], field: str, valid: bool, described: str, where: str
) -> None:
    if not valid:
        raise UsageError(f"{where}: {field} = {shown(values[field])}, but it must be {described}.")


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is str for each in value)
