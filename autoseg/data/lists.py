"""List files: an image and its label on each line, as people and other programs write them."""

import codecs
import os.path
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from autoseg.data.images import require_regular_file
from autoseg.errors import FileError, reading

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MARK = "\ufeff"  # any of them, decoded
_LINE_ENDS = re.compile("\r\n|\n|\r")
# What Unicode calls line ends too, and str.split() takes for spaces; in a list they are neither.
_SEPARATORS = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")
_QUOTED = re.compile(r'"([^"]*)"|(\S+)')
_MAX_BYTES = 2**28
_MAX_LINE = 2**13  # two of the longest paths that Linux takes
_EXPECTED = "expected an image and its label, separated by a space or tab"


def read_list(path: Path) -> list[tuple[Path, Path]]:
    """Read the pairs of a list.

    On a line stand an image and its label, relative to the list's folder. They are separated by a
    tab, or by spaces; names with spaces stand in double quotes, or are found where only one way to
    divide the line names two files that exist. Backslashes count as slashes where no file has one
    in its name. Empty lines are passed over; UTF-8 with or without a mark, UTF-16 and UTF-32 with
    one. A mark may begin any line, where lists were joined.

    Args:
        path: The list.

    Returns:
        Paths of image and label, in the order of the lines; their presence is not checked.

    Raises:
        FileError: If a line is not that, names an absolute path or leaves the list's folder, or the
            file is no text; with the list's name and the line's number.
        OSError: If the list is not there or may not be read.
    """
    require_regular_file(path)
    if path.stat().st_size > _MAX_BYTES:
        raise FileError(f"{path} has {path.stat().st_size:,} bytes; that is no list of files.")
    pairs = []
    for number, line in enumerate(_LINE_ENDS.split(_decode(path)), start=1):
        line = line.removeprefix(_MARK)
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        if len(line) > _MAX_LINE:
            raise FileError(f"{where} has {len(line):,} characters; {_EXPECTED}.")
        if "\0" in line:
            raise FileError(f"{where}: {line[:80]!r} holds a NUL character; {_EXPECTED}.")
        if _MARK in line:
            raise FileError(
                f"{where} holds the mark that a text begins with (U+FEFF); were two lists joined "
                "where the first had no end of line? Put one there."
            )
        if found := _SEPARATORS.search(line):
            raise FileError(
                f"{where} holds U+{ord(found[0]):04X}, which some programs take for a line end; "
                "end lines with a line feed, and have none in a name."
            )
        image, label = _divide(line.strip(), path.parent, where)
        pairs.append((_inside(image, path.parent, where), _inside(label, path.parent, where)))
    return pairs


def _decode(path: Path) -> str:
    with reading(path, "a list"):
        content = path.read_bytes()
    if not content.startswith(tuple(_MARKS)) and _has_zeros_between(content):
        raise FileError(
            f"{path}, line 1: every second byte is 0, as in UTF-16, but the mark that tells in "
            "which order bytes stand is missing; save the list as UTF-8."
        )
    encoding = next((e for mark, e in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is no {encoding.upper()} "
            "(another encoding, as Latin-1, or no text); save the list as UTF-8."
        ) from None


def _has_zeros_between(content: bytes) -> bool:
    """Tell whether a text that should be UTF-8 is UTF-16: of Latin letters one byte is 0."""
    head = content[:256]
    return any(head[start::2].count(0) > len(head) // 4 for start in (0, 1))


def _divide(line: str, root: Path, where: str) -> tuple[str, str]:
    """Divide a line into two names."""
    if "\t" in line:
        words = [word.strip().strip('"') for word in line.split("\t") if word.strip()]
    elif '"' in line:
        words = [quoted or plain for quoted, plain in _QUOTED.findall(line)]
    else:
        words = line.split()
    if len(words) == 2:
        return words[0], words[1]
    if len(words) > 2 and "\t" not in line and '"' not in line:
        spaces = [match.span() for match in re.finditer(r"\s+", line)]
        ways = [(line[:start], line[end:]) for start, end in spaces]
        both = [way for way in ways if all(_exists(root, name) for name in way)]
        if len(both) == 1:
            return both[0]
        hint = "; names with spaces stand in double quotes, or a tab stands between them"
    else:
        hint = ""
    if PurePosixPath(line).is_absolute() or PureWindowsPath(line).drive:
        raise FileError(f"{where}: {line[:200]!r} is an absolute path{_remedy(line, root)}.")
    raise FileError(f"{where}: {line[:200]!r} has {len(words)} word(s); {_EXPECTED}{hint}.")


def _exists(root: Path, name: str) -> bool:
    # os.path.exists: False for a name that the file system refuses, as one that is too long.
    names = (name, name.replace("\\", "/"))
    return any(os.path.exists(root / name) for name in names)  # noqa: PTH110


def _inside(name: str, root: Path, where: str) -> Path:
    """Find where a name points to, which must be in the list's folder."""
    if "\\" in name and not os.path.exists(root / name):  # noqa: PTH110
        if PureWindowsPath(name).drive or name.startswith("\\"):
            raise FileError(f"{where}: {name!r} is an absolute path{_remedy(name, root)}.")
        name = name.replace("\\", "/")
    normal = os.path.normpath(name)
    if Path(normal).is_absolute():
        if Path(normal).is_relative_to(root.absolute()):
            return Path(normal)
        raise FileError(f"{where}: {name!r} is an absolute path{_remedy(name, root)}.")
    if normal == ".." or normal.startswith("../"):
        raise FileError(f"{where}: {name!r} leads out of the list's folder {root}.")
    return root / normal


def _remedy(name: str, root: Path) -> str:
    """Say what would make an absolute path right, where the end of it names a file."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for start in range(1, len(parts)):
        rest = "/".join(parts[start:])
        if os.path.exists(root / rest):  # noqa: PTH110
            prefix = name.replace("\\", "/").removesuffix(rest)
            return (
                f"; paths are relative to {root}, where {rest!r} exists: take {prefix!r} out of "
                "every line"
            )
    return f"; paths are relative to the list's folder, {root}"
