"""One discrete network, as an immutable value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from autoseg.architecture import limits
from autoseg.architecture.operations import NO_OPERATION, OPERATIONS, OWN_REMEDY
from autoseg.architecture.space import shipped
from autoseg.atomic import atomic_write
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable, shown
from autoseg.json_file import parse_json, read_regular_file

FORMAT = "autoseg-architecture"
FORMAT_VERSION = 1


class CellEdge(NamedTuple):
    """An operation together with the state that it reads, so that the two cannot be swapped."""

    source: int
    """0: output of the cell before the previous; 1: of the previous cell; 2 and on: the nodes."""
    op: str
    """Name of the operation; see `autoseg.architecture.operations.OPERATIONS`."""


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
    cell: tuple[tuple[CellEdge, CellEdge], ...]
    """The two incoming edges of each node."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))
        object.__setattr__(self, "path", tuple(self.path))
        if not isinstance(self.space, str) or not limits.is_name(self.space):
            raise ValueError(f"architecture: space = {shown(self.space)}, but {limits.NAME_RULE}.")
        self._check_path()
        self._check_cell()
        ordered = tuple(tuple(sorted(CellEdge(*edge) for edge in node)) for node in self.cell)
        object.__setattr__(self, "cell", ordered)

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

    def _check_cell(self) -> None:
        if not self.cell:
            raise ValueError("architecture: cell is empty, but it needs at least one node.")
        _require_at_most("cell", len(self.cell), limits.MAX_NODES, "nodes")
        for node, edges in enumerate(self.cell):
            where = f"architecture: cell[{node}]"
            if len(edges) != 2:
                raise ValueError(f"{where} has {len(edges)} edges, but a node has exactly 2.")
            for source, op in edges:
                if type(source) is not int or not 0 <= source < 2 + node:
                    raise ValueError(
                        f"{where} reads source {shown(source)}, but node {node} may read 0 to "
                        f"{node + 1} (0, 1: the earlier cells; 2 and on: the nodes before it)."
                    )
                if not isinstance(op, str) or op not in OPERATIONS or op == NO_OPERATION:
                    known = ", ".join(name for name in OPERATIONS if name != NO_OPERATION)
                    raise ValueError(
                        f"{where} has operation {shown(op)}, but it must be one of {known}. "
                        f"{OWN_REMEDY}"
                    )

    @property
    def num_layers(self) -> int:
        """L, the number of cells."""
        return len(self.path)

    @property
    def num_nodes(self) -> int:
        """B, the number of nodes in the cell."""
        return len(self.cell)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `architecture.json`."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "space": self.space,
            "strides": list(self.strides),
            "path": list(self.path),
            "cell": [
                [{"source": edge.source, "op": edge.op} for edge in node] for node in self.cell
            ],
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
            cell=_parse_cell(content["cell"]),
        )

    def save(self, path: str | Path) -> None:
        """Write the architecture as readable JSON, one node of the cell a line.

        Raises:
            OSError: If the file cannot be written; the previous one is untouched then.
        """
        content = self.to_dict()
        nodes = ",\n".join(f"    {json.dumps(node)}" for node in content.pop("cell"))
        head = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
        text = f'{{\n{head},\n  "cell": [\n{nodes}\n  ]\n}}\n'
        atomic_write(Path(path), text.encode())

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Read an architecture from a JSON file, or a shipped one by its name.

        Raises:
            UsageError: If the file does not exist.
            FileError: If the file is not an architecture; the message names file, field and rule.
        """
        published = shipped("architectures", ".json")
        path = published.get(str(name), Path(name))
        try:
            with reading(path, "a valid JSON file"):
                content: Any = parse_json(read_regular_file(path, max_bytes=limits.MAX_FILE_BYTES))
        except FileNotFoundError:
            raise UsageError(
                f"architecture file {printable(str(path))} does not exist. Shipped ones: "
                f"{', '.join(published)}."
            ) from None
        try:
            return cls.from_dict(content)
        except ValueError as error:
            raise FileError(f"{printable(str(path))}: {error}") from error

    def __str__(self) -> str:
        """Show the architecture on one screen."""
        names = ["previous-previous cell", "previous cell"]
        names += [f"node {node}" for node in range(self.num_nodes)]
        lines = [f"path  {' '.join(map(str, self.path))}"]
        for node, edges in enumerate(self.cell):
            terms = " + ".join(f"{edge.op}({names[edge.source]})" for edge in edges)
            lines.append(f"node {node} = {terms}")
        return "\n".join(lines)


def _require_at_most(field: str, count: int, highest: int, what: str) -> None:
    if count > highest:
        raise ValueError(
            f"architecture: {field} has {count:,} {what}, but at most {highest} are allowed."
        )


def _parse_cell(value: Any) -> tuple[tuple[CellEdge, CellEdge], ...]:
    if not isinstance(value, list):
        raise ValueError(f"architecture: cell = {shown(value)}, but it must be a list of nodes.")
    nodes = []
    for node, edges in enumerate(value):
        if not isinstance(edges, list) or not all(
            isinstance(edge, dict) and set(edge) == {"source", "op"} for edge in edges
        ):
            raise ValueError(
                f"architecture: cell[{node}] = {shown(edges)}, but it must be a list of two edges "
                'like {"source": 0, "op": "sep_conv_3x3"}.'
            )
        nodes.append(tuple(CellEdge(edge["source"], edge["op"]) for edge in edges))
    return tuple(nodes)
