"""Both kinds of search space and of architecture: which one a file or a record holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg.architecture.architecture import Architecture
from autoseg.architecture.architecture_files import load_built
from autoseg.architecture.cell_architecture import CELL_FORMAT, CellArchitecture
from autoseg.architecture.cell_space import CellSpace
from autoseg.architecture.space import SearchSpace
from autoseg.architecture.space_files import RECORD, read_space

Space = SearchSpace | CellSpace
"""What may be chosen. Both kinds have `name`, `operations`, `num_nodes`, `stem_channels`,
`filter_multiplier`, `coarsest_stride` and `to_dict`."""

AnyArchitecture = Architecture | CellArchitecture
"""One discrete network. Both kinds have `space`, `num_nodes`, `cells`, `summary`, `to_dict` and
`save`, and print on one screen."""


def load_space(name: str | Path, *, preset: str | None = None) -> Space:
    """Read a space of either kind by a shipped name or from a TOML file; see `SearchSpace.load`."""
    table, where = read_space(name, preset=preset)
    return space_from_dict(table, where=where)


def space_from_dict(table: Mapping[str, Any], *, where: str = RECORD) -> Space:
    """Build a space of either kind from its `to_dict()`, as stored in a run's record.

    Args:
        table: The fields.
        where: What holds them, for messages.

    Raises:
        UsageError: As the kind's `from_dict` says.
    """
    kind = CellSpace if "kind" in table else SearchSpace
    return kind.from_dict(table, where=where)


def architecture_from_dict(content: Any) -> AnyArchitecture:
    """Build an architecture of either kind from its `to_dict()`.

    Raises:
        ValueError: As the kind's `from_dict` says.
    """
    is_cells = isinstance(content, Mapping) and content.get("format") == CELL_FORMAT
    return (CellArchitecture if is_cells else Architecture).from_dict(content)


def load_architecture(name: str | Path) -> AnyArchitecture:
    """Read an architecture of either kind from a JSON file, or a shipped one by its name.

    Raises:
        UsageError: If the file does not exist.
        FileError: If the file is not an architecture; the message names file, field and rule.
    """
    return load_built(name, architecture_from_dict)
