"""What a run keeps of operations that do not come with autoseg, and asks for when it goes on."""

import hashlib
import shlex
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autoseg.architecture import OPERATIONS, AnyArchitecture, cell_operations
from autoseg.errors import UsageError
from autoseg.foreign_text import printable
from autoseg.runs import reading_record, schema
from autoseg.user_imports import imported

OWN_OPERATIONS = "own_operations"
"""Field of a run's configuration; absent where there are none."""

_FIELDS = schema.fields({"name": schema.text, "import": schema.text}, {"sha256": schema.text})
_CONFIG = schema.fields({}, allowed={OWN_OPERATIONS: schema.list_of(_FIELDS)})


def own_operations(names: Iterable[str]) -> dict[str, Any]:
    """Return what a record keeps of the registered ones among operations.

    Args:
        names: Names of operations.

    Returns:
        A field of the configuration that says for each what has to be imported, with the checksum
        of its file; nothing where all operations come with autoseg.
    """
    kept = []
    for name in sorted(set(names)):
        build = cell_operations()[name].build
        if build is None:
            continue
        module = getattr(build, "__module__", None) or type(build).__module__
        words = {each.module: each.word for each in imported()}
        entry = {"name": name, "import": words.get(module, module)}
        if content := _content(module):
            entry["sha256"] = hashlib.sha256(content).hexdigest()
        kept.append(entry)
    return {OWN_OPERATIONS: kept} if kept else {}


def operations_of_architecture(architecture: AnyArchitecture | None) -> set[str]:
    """Return the operations of an architecture's cells; none where there is no architecture."""
    if architecture is None:
        return set()
    return {edge.op for cell in architecture.cells.values() for node in cell for edge in node}


def require_own_operations(config: dict[str, Any], folder: Path) -> None:
    """Refuse a run whose operations are not registered.

    Args:
        config: The configuration in its record.
        folder: The run folder, for the message.

    Raises:
        UsageError: If an operation is missing, with the import that registers it.
        FileError: If the record is damaged there.
    """
    missing = [entry for entry in _entries(config, folder) if entry["name"] not in OPERATIONS]
    if missing:
        words = dict.fromkeys(shlex.quote(entry["import"]) for entry in missing)
        names = ", ".join(entry["name"] for entry in missing)
        again = " ".join(f"--import {word}" for word in words)
        raise UsageError(
            f"{printable(str(folder))} was made with operations that do not come with autoseg: "
            f"{printable(names)}. Give {printable(again)} again, if you trust that code; autoseg "
            "runs none because a file names it."
        )


def require_unchanged_operations(config: dict[str, Any], folder: Path) -> None:
    """Refuse to go on with a run when the code of its operations has changed.

    The arguments are those of `require_own_operations`, which comes first.

    Raises:
        UsageError: If it has.
    """
    for change in _changes(config, folder):
        raise UsageError(
            f"--resume: {change}; go on with the file as it was, or start a new run without "
            "--resume."
        )


def warn_of_changed_operations(config: dict[str, Any], folder: Path) -> None:
    """Warn where the code of a run's operations has changed; arguments as above."""
    for change in _changes(config, folder):
        warnings.warn(f"{change}: the operation may be another one now.", stacklevel=2)


def _entries(config: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    with reading_record(folder):
        _CONFIG(config, "config")
    return config.get(OWN_OPERATIONS, [])


def _changes(config: dict[str, Any], folder: Path) -> list[str]:
    entries = _entries(config, folder)
    now = own_operations(entry["name"] for entry in entries).get(OWN_OPERATIONS, [])
    checksums = {entry["name"]: entry.get("sha256") for entry in now}
    return [
        f"{printable(entry['import'])}, which registers {entry['name']}, has changed since "
        f"{printable(str(folder))} was started"
        for entry in entries
        if "sha256" in entry and entry["sha256"] != checksums.get(entry["name"])
    ]


def _content(module: str) -> bytes | None:
    """Return the bytes of a module's file; None where it has none, as in a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).read_bytes() if file is not None and Path(file).is_file() else None
