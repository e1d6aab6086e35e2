"""Files of architectures: readable JSON, shipped by their names or anybody's by their paths."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from autoseg.architecture import limits
from autoseg.architecture.space_files import shipped
from autoseg.atomic import atomic_write
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable
from autoseg.json_file import parse_json, read_regular_file

Built = TypeVar("Built")


def load_built(name: str | Path, build: Callable[[Any], Built]) -> Built:
    """Build what a JSON file holds.

    Args:
        name: Path of a file, or the name of a shipped architecture.
        build: Raises ValueError if the content is no architecture.

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
        return build(content)
    except ValueError as error:
        raise FileError(f"{printable(str(path))}: {error}") from error


def save_content(path: str | Path, content: dict[str, Any], *, cells: Sequence[str]) -> None:
    """Write an architecture's content, one field and one node of a cell a line.

    Args:
        path: Where to.
        content: What JSON can hold.
        cells: Fields that are cells; they come last.

    Raises:
        OSError: If the file cannot be written; the previous one is untouched then.
    """
    fields = [
        f"  {json.dumps(key)}: {json.dumps(value)}"
        for key, value in content.items()
        if key not in cells
    ]
    for name in cells:
        nodes = ",\n".join(f"    {json.dumps(node)}" for node in content[name])
        fields.append(f"  {json.dumps(name)}: [\n{nodes}\n  ]")
    text = "{\n" + ",\n".join(fields) + "\n}\n"
    atomic_write(Path(path), text.encode())
