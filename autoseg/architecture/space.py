"""The search space: what may be chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from autoseg.architecture import limits
from autoseg.architecture.cell import num_edges_before
from autoseg.architecture.operations import NO_OPERATION, OPERATIONS, OWN_REMEDY
from autoseg.architecture.space_files import RECORD, preset_names, read_space
from autoseg.architecture.trellis import TrellisEdge, num_trellis_paths, trellis_edges
from autoseg.errors import UsageError, unknown_name
from autoseg.foreign_text import shown


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """A set of networks: one cell, repeated along a path through a trellis of strides.

    Source: Auto-DeepLab, arXiv 1901.02985, sections 3 and 5.1.
    """

    name: str
    """Name of the space, as users write it after `--space`."""
    paper: str
    """Paper or place that the space comes from."""
    num_layers: int
    """L, the number of searched layers after the stem."""
    num_nodes: int
    """B, the number of nodes in a cell (the paper's blocks)."""
    strides: tuple[int, ...]
    """Strides of the trellis levels, finest first, each twice the one before."""
    operations: tuple[str, ...]
    """Candidate operations of an edge, in the order of alpha's columns."""
    stem_channels: tuple[int, int, int]
    """Output channels of the three 3x3 stem convolutions (strides 2, 1, 2)."""
    filter_multiplier: int
    """F of the supernet: a node at stride s has F * s / 4 channels, a cell B times as many."""
    head_rate_times_stride: int
    """The supernet's head at stride s has one atrous convolution at this number divided by s."""

    def __post_init__(self) -> None:
        def require(valid: bool, field: str, rule: str) -> None:
            if not valid:
                value = shown(getattr(self, field))
                raise UsageError(f"search space {shown(self.name)}: {field} = {value}, but {rule}.")

        def require_range(field: str, highest: int) -> None:
            require(getattr(self, field) >= 1, field, "it must be at least 1")
            require(getattr(self, field) <= highest, field, f"it may be at most {highest}")

        require(limits.is_name(self.name), "name", limits.NAME_RULE)
        is_text = len(self.paper) <= limits.MAX_TEXT and self.paper.isprintable()
        require(is_text, "paper", limits.TEXT_RULE)
        require_range("num_layers", limits.MAX_LAYERS)
        require_range("num_nodes", limits.MAX_NODES)
        require_range("filter_multiplier", limits.MAX_CHANNELS)
        require_range("head_rate_times_stride", limits.MAX_RATE_TIMES_STRIDE)
        problem = limits.strides_problem(self.strides)
        require(problem is None, "strides", str(problem))
        require(
            len(self.stem_channels) == 3 and min(self.stem_channels) >= 1,
            "stem_channels",
            "it must be three positive numbers",
        )
        highest = limits.MAX_STEM_CHANNELS
        require(
            max(self.stem_channels) <= highest, "stem_channels", f"each may be at most {highest}"
        )
        for operation in self.operations:
            if operation not in OPERATIONS:
                unknown = unknown_name("operation", operation[: limits.MAX_NAME], OPERATIONS)
                raise UsageError(f"{unknown} {OWN_REMEDY}")
        require(
            len(set(self.operations)) == len(self.operations)
            and any(op != NO_OPERATION for op in self.operations),
            "operations",
            f"it must list each operation once, and at least one besides {NO_OPERATION!r}",
        )
        widest = self.num_nodes * self.num_channels(self.strides[-1])
        require(
            widest <= limits.MAX_CHANNELS,
            "filter_multiplier",
            f"a cell of {self.num_nodes} nodes at stride {self.strides[-1]} then has {widest:,} "
            f"channels, and may have {limits.MAX_CHANNELS:,}",
        )
        num_candidates = self.num_layers * self.num_levels * self.num_edges * len(self.operations)
        require(
            num_candidates <= limits.MAX_CANDIDATES,
            "num_layers",
            f"with {self.num_levels} strides, {self.num_edges} edges and {len(self.operations)} "
            f"operations these are {num_candidates:,} operations in all, and may be "
            f"{limits.MAX_CANDIDATES:,}",
        )

    @classmethod
    def load(cls, name: str | Path, *, preset: str | None = None) -> Self:
        """Read a space by the name of a shipped file, or from a TOML file of the user's.

        Args:
            name: "autodeeplab" and the like, or a path that ends in ".toml".
            preset: Name of a table under `presets` in that file, whose entries replace the
                space's own numbers ("tiny" for a search in minutes). None: the space as written.

        Raises:
            UsageError: If there is no such space, preset or field, or a value breaks a rule.
            FileError: If the file is no TOML file, or too large for a space.
        """
        table, where = read_space(name, preset=preset)
        return cls._from_table(table, where)

    @staticmethod
    def preset_names(name: str | Path) -> list[str]:
        """List the presets in a space's file; `name` as in `load`."""
        return preset_names(name)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], *, where: str = RECORD) -> Self:
        """Build a space from `to_dict()`'s result, as stored in a run's record.

        Args:
            table: The fields.
            where: What holds them, for messages.
        """
        return cls._from_table(dict(table), where)

    @classmethod
    def _from_table(cls, table: dict[str, Any], where: str) -> Self:
        if "kind" in table:
            raise UsageError(
                f"{where}: kind = {shown(table['kind'])}, but a space of one cell and a path has "
                "no kind; a cell space is read by CellSpace.load."
            )
        known = [field.name for field in fields(cls)]
        for key in table:
            if key not in known:
                raise unknown_name(
                    f"field of a search space in {where}:", key[: limits.MAX_NAME], known
                )
        missing = [key for key in known if key not in table]
        if missing:
            raise UsageError(f"{where}: missing field {missing[0]!r} of the search space.")
        for key, value in table.items():
            expected = str if key in ("name", "paper") else int
            if key in ("strides", "operations", "stem_channels"):
                item_type = str if key == "operations" else int
                # Not isinstance: true and false are instances of int.
                valid = isinstance(value, list | tuple) and all(
                    type(item) is item_type for item in value
                )
                described = f"a list of {item_type.__name__}"
            else:
                valid, described = type(value) is expected, expected.__name__
            if not valid:
                raise UsageError(f"{where}: {key} = {shown(value)}, but it must be {described}.")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        try:
            return cls(**values)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON can hold."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @property
    def num_levels(self) -> int:
        """Number of strides in the trellis."""
        return len(self.strides)

    @property
    def num_edges(self) -> int:
        """Edges of a cell: node b has 2 + b predecessors; 20 at B = 5."""
        return num_edges_before(self.num_nodes)

    def predecessors(self, node: int) -> range:
        """States that node number `node` may read: 0 the cell before the previous, 1 the previous
        cell, 2 and on the earlier nodes."""
        return range(2 + node)

    def edge_index(self, source: int, node: int) -> int:
        """Row of alpha of the edge from state `source` to node `node`.

        Rows are ordered by node, then by source (DARTS' order).
        """
        if source not in self.predecessors(node):
            raise ValueError(f"node {node} has no predecessor {source}; it has 0 to {node + 1}.")
        return num_edges_before(node) + source

    def trellis(self) -> tuple[TrellisEdge, ...]:
        """Return the live edges between strides; see `autoseg.architecture.trellis`."""
        return trellis_edges(self.num_layers, self.num_levels)

    @property
    def coarsest_stride(self) -> int:
        """Coarsest stride that a path reaches."""
        return self.strides[max(edge.target_level for edge in self.trellis())]

    def num_paths(self) -> int:
        """Count the paths through the trellis; 75,025 at 12 layers and 4 strides."""
        return num_trellis_paths(self.num_layers, self.num_levels)

    def num_channels(self, stride: int) -> int:
        """Channels of a node at `stride` in the supernet: F * s / 4."""
        return self.filter_multiplier * stride // 4
