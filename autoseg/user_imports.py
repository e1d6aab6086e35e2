"""Python of the user's own that a command runs first, such as one that registers operations.

Only the command line can ask for it. A configuration file, a search space or a run folder may come
from anyone, and none of them makes autoseg run code: a run keeps what its operations came from, and
whoever goes on with it says `--import` again.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import NamedTuple

from autoseg.errors import UsageError, reading
from autoseg.foreign_text import printable, shown


class Import(NamedTuple):
    """Something that was imported for the user."""

    word: str
    """What stood after `--import`."""
    module: str
    """Name of the module that it became."""
    sha256: str | None
    """Checksum of a file's content; None of a module."""


_imported: list[Import] = []


def imported() -> tuple[Import, ...]:
    """List what was imported for the user in this process."""
    return tuple(_imported)


def import_for_user(word: str) -> None:
    """Run a file, or import a module, that the user names on the command line.

    Args:
        word: The path of a file that ends in .py, or the name of a module that Python finds. What
            was imported already is not run again, unless its file has changed.

    Raises:
        UsageError: If there is no such file or module.
        FileError: If running it fails, with the reason.
    """
    if word.endswith(".py"):
        _run_file(word)
    elif re.fullmatch(r"\w+(\.\w+)*", word):
        _import_module(word)
    else:
        raise UsageError(
            f"--import {shown(word)}: it must be a file that ends in .py, or the name of a module."
        )


def _import_module(word: str) -> None:
    try:
        is_there = importlib.util.find_spec(word) is not None
    except ModuleNotFoundError:  # of a package that should hold it
        is_there = False
    if not is_there:
        raise UsageError(
            f"--import {word}: Python finds no module of this name; name a file with its .py, or "
            "install what holds the module."
        )
    with reading(word, "a module that can be imported", remedy=_REMEDY):
        importlib.import_module(word)
    _note(Import(word, word, None))


def _run_file(word: str) -> None:
    path = Path(word)
    if not path.is_file():
        raise UsageError(f"--import {printable(word)}: there is no such file.")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    # A name that no other module has, and that is the same in another process.
    name = f"imported_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}_{path.stem}"
    if not any((each.module, each.sha256) == (name, sha256) for each in _imported):
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # as an import statement does, before the code runs
        with reading(path, "Python that runs", remedy=_REMEDY):
            exec(compile(content, str(path), "exec"), module.__dict__)
    _note(Import(word, name, sha256))


_REMEDY = "AUTOSEG_TRACEBACK=1 shows where"


def _note(new: Import) -> None:
    _imported[:] = [each for each in _imported if each.module != new.module] + [new]
