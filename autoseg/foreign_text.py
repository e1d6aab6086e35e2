"""Text that others chose (names of classes, files, runs and spaces), made safe for each medium.

Every medium has characters that it obeys instead of showing. A name goes into one only through the
function of that medium; HTML is the templates' own escaping, figures have theirs in
`autoseg.reporting.fonts`. A leaf that every folder may import.
"""

import math
import re
import reprlib
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

_MAX_FOLDER_NAME = 100
# Names that Windows keeps for devices, with any ending.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def printable(text: str, *, keep: str = "") -> str:
    """Write foreign text so that a terminal shows it and obeys none of it.

    Args:
        text: A name or message from a file, a folder or a library.
        keep: Control characters to leave as they are.

    Returns:
        The text with control characters, line breaks and lone surrogates (file names that are not
        UTF-8) as escapes, such as `\\x1b`.
    """
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


class _Short(reprlib.Repr):
    """Python's notation, cut: of long containers and texts, and of numbers with many digits."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxdict = 8
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        # Beyond some thousands of digits Python refuses to write them.
        num_bits = x.bit_length()
        num_digits = int(num_bits * math.log10(2)) + 1
        return repr(x) if num_bits <= 128 else f"a number of about {num_digits} digits"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if level <= 0 and x:
            return "{...}"
        items = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in islice(x.items(), self.maxdict)  # in their own order
        ]
        return "{" + ", ".join(items + ["..."] * (len(x) > self.maxdict)) + "}"


def shown(value: object) -> str:
    """Write a foreign value into a message: as Python does, short, and in one printable line.

    Args:
        value: Anything that was read from a file.
    """
    return printable(_Short().repr(value))


_MAX_LISTED = 6
_MAX_IN_LIST = 100


def listed(names: Sequence[str]) -> str:
    """Write the first names of a list into a message, each cut, and count the rest."""
    shown_names = [printable(name[:_MAX_IN_LIST]) for name in names[:_MAX_LISTED]]
    rest = len(names) - _MAX_LISTED
    return ", ".join(shown_names) + (f" and {rest:,} more" if rest > 0 else "")


def folder_name(text: str) -> str:
    """Make a folder's or file's name that stays in the folder where it is put.

    Args:
        text: A foreign name, for example a network's label from a received record.

    Returns:
        Letters, digits and `._+-` of the text; what lies between becomes one `-`. Never empty,
        never hidden, never `.` or `..`, at most 100 characters.
    """
    plain = unicodedata.normalize("NFKC", text)
    name = re.sub(r"[^\w.+-]+", "-", plain).strip("-")
    name = re.sub(r"\.{2,}", ".", name).lstrip(".-")[:_MAX_FOLDER_NAME].rstrip(".-")
    if not name or _RESERVED.fullmatch(name):
        name = f"run-{name}".rstrip("-")
    return name


def is_name_in_folder(text: str) -> bool:
    """Tell whether a text, put after a folder, names something directly in that folder.

    Args:
        text: A name that has been in use, and is kept as it is or refused; `folder_name` makes new
            ones.
    """
    return (
        text not in ("", ".", "..")
        and text.isprintable()  # neither NUL nor line breaks nor lone surrogates
        and not set(text) & set("/\\:")
    )


@contextmanager
def utf8_path(path: Path) -> Iterator[str]:
    """Name a file to a library that takes names in UTF-8 alone, as those written in Rust.

    Args:
        path: A file that exists; Unix takes any bytes for a name, and Python shows those that are
            no UTF-8 as lone surrogates.

    Yields:
        Its name, or one by the number of the open file where that is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"
    else:
        yield str(path)


# What can begin markup anywhere. An underscore between two letters cannot, and names are full of
# such; a round bracket only after a square one. Bare addresses become links, too: :// www. and @.
_MARKDOWN = re.compile(
    r"[\\`*<>\[\]|~$&@#]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|/(?=/)|(?<=www)\.", re.IGNORECASE
)
# What can only where a block begins: an item of a list, a rule, an underline of a heading.
_MARKDOWN_BLOCK = re.compile(r"^(\s*\d*)([+=.)-])")


def markdown_text(text: str, *, in_cell: bool = False) -> str:
    """Escape text for Markdown: no markup, no HTML, no link, no new column.

    Args:
        text: What a heading, a list's item or a paragraph begins with.
        in_cell: It is a cell of a table, where no list can begin: "-2.5" stays as it is.
    """
    escaped = _MARKDOWN.sub(r"\\\g<0>", printable(text))
    return escaped if in_cell else _MARKDOWN_BLOCK.sub(r"\1\\\2", escaped)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # A row that begins with [ would be read as the argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex_text(text: str) -> str:
    """Escape text for LaTeX, outside of mathematics."""
    return "".join(_LATEX.get(character, character) for character in printable(text))
