"""Configuration files: TOML with a command's fields, read and written."""

import re
import tomllib
from pathlib import Path
from typing import Any

from autoseg.config import FieldType
from autoseg.errors import FileError, UsageError, reading, unknown_name
from autoseg.toml_file import parse_toml

_MAX_BYTES = 2**20
"""Largest file, 1 MiB: all fields with their texts are a fiftieth of it."""
_MAX_PROBLEMS = 20


def read_config(path: Path, types: dict[str, FieldType]) -> dict[str, Any]:
    """Read the fields that a file gives.

    Args:
        path: The file, UTF-8; the byte order mark that some editors write is accepted.
        types: The fields there are.

    Returns:
        Values by field name.

    Raises:
        UsageError: If it cannot be read, or is no TOML; or with its unknown or wrong entries,
            twenty at most, each with its line.
    """
    try:
        with reading(path, "valid TOML"):
            with path.open("rb") as file:  # a pipe will do: --config <(...)
                data = file.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
            table = parse_toml(data)
    except (OSError, FileError) as error:
        raise UsageError(f"--config {error}") from None
    text = data.decode("utf-8-sig")
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in table.items():
        name = key.replace("-", "_")
        where = f"{path}, line {_line_of(key, text)}"
        try:
            if name not in types:
                raise UsageError(f"{where}: {unknown_name('field', key, types)}")
            if name in values:
                raise UsageError(f"{where}: field {key!r} is given twice, with '-' and with '_'.")
            values[name] = types[name].from_toml(value, f"{where}: field {key!r}")
        except UsageError as error:
            problems.append(str(error))
        if len(problems) == _MAX_PROBLEMS:  # to find each line takes a parse of those before it
            break
    if problems:
        raise UsageError("\n".join(problems))
    return values


def _line_of(key: str, text: str) -> int:
    """Find the line of a top-level entry, which tomllib does not tell."""
    lines = text.splitlines(keepends=True)
    name = re.escape(key)
    entry = re.compile(rf"""\s*(\[+\s*)?("{name}"|'{name}'|{name})\s*[=.\]]""")
    for number, line in enumerate(lines, start=1):
        if entry.match(line) and _is_whole("".join(lines[: number - 1])):
            return number
    return 1  # a key that is written with escapes


def _is_whole(text: str) -> bool:
    """Tell whether what stands before a line ends there: else the line is in a longer value."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def write_config(values: dict[str, Any], *, given: frozenset[str], docs: dict[str, str]) -> str:
    """Write fields as TOML that `read_config` reads back.

    Args:
        values: All fields of a request, by name.
        given: Those that the user gave; the others stand there as comments, with their defaults.
        docs: Text by field name.
    """
    lines = []
    for name, value in values.items():
        lines += [f"# {docs[name]}"] if name in docs else []
        comment = "" if name in given else "# "
        lines += [f"{comment}{name} = {_toml(value)}", ""]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str | Path):
        return f'"{"".join(map(_toml_character, str(value)))}"'
    return repr(value)


def _toml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    if "\ud800" <= character <= "\udfff":  # of a file name that is not UTF-8
        raise UsageError(f"a name with the byte {ord(character) - 0xDC00:#x} has no form in TOML.")
    return f"\\U{ord(character):08x}"
