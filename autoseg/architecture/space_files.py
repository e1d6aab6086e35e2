"""Files of search spaces: TOML, shipped by their names or the user's by their paths."""

from importlib import resources
from pathlib import Path
from typing import Any

from autoseg.architecture import limits
from autoseg.errors import UsageError, reading, unknown_name
from autoseg.foreign_text import printable, shown
from autoseg.json_file import read_regular_file
from autoseg.toml_file import parse_toml

FORMAT_VERSION = 1

RECORD = "search space record"
"""What messages call a space that a run's record holds."""


def shipped(kind: str, suffix: str) -> dict[str, Path]:
    """List the files that come with autoseg: kind "" for spaces, "architectures" for networks."""
    folder = Path(str(resources.files("search_spaces"))) / kind
    return {path.stem: path for path in sorted(folder.glob(f"*{suffix}"))}


def read_space(name: str | Path, *, preset: str | None) -> tuple[dict[str, Any], str]:
    """Read a space's table, with the numbers of a preset.

    Args:
        name: Name of a shipped space, or a path that ends in ".toml".
        preset: Name of a table under `presets`, whose entries replace the space's own; None: the
            space as written.

    Returns:
        The table without version and presets, and the file for messages.

    Raises:
        UsageError: If there is no such space or preset, or the file's version is another one.
        FileError: If the file is no TOML file, or too large for a space.
    """
    table, where = _read_toml(name)
    version = table.pop("format_version", None)
    if type(version) is not int or version != FORMAT_VERSION:
        raise UsageError(
            f"{where}: format_version = {shown(version)}, but this autoseg reads "
            f"{FORMAT_VERSION}; update autoseg if the file is newer."
        )
    presets = table.pop("presets", {})
    if preset is not None:
        if preset not in presets:
            raise unknown_name(f"preset of the space in {where}", preset, presets)
        table |= presets[preset]
    return table, where


def preset_names(name: str | Path) -> list[str]:
    """List the presets in a space's file; `name` as in `read_space`."""
    table, _ = _read_toml(name)
    return list(table.get("presets", {}))


def _read_toml(name: str | Path) -> tuple[dict[str, Any], str]:
    spaces = shipped("", ".toml")
    path = Path(name)
    if path.suffix.lower() != ".toml":
        if str(name) not in spaces:
            if path.exists() or path.parent != Path():
                raise UsageError(f"search space file {path}: its name must end in .toml.")
            raise unknown_name("search space", str(name), spaces)
        path = spaces[str(name)]
    try:
        with reading(path, "a valid TOML file"):
            table = parse_toml(read_regular_file(path, max_bytes=limits.MAX_FILE_BYTES))
    except FileNotFoundError:
        raise UsageError(
            f"search space file {printable(str(path))} does not exist. Shipped spaces: "
            f"{', '.join(spaces)}."
        ) from None
    where = printable(str(path))
    presets = table.get("presets", {})
    if not isinstance(presets, dict) or not all(isinstance(v, dict) for v in presets.values()):
        raise UsageError(
            f"{where}: presets = {shown(presets)}, but each preset must be a table like "
            "[presets.tiny]."
        )
    return table, where
