"""The one way in for what torch has pickled: tensors and plain values, no code, in bounded time.

torch refuses a pickle that needs code (`weights_only`), but two small files keep it busy for hours.
Its message holds what the file would call, and is searched by a pattern that takes time by the
square of its longest word. And a tuple that holds another one twice, and that a third one, has
2^30 places in some hundred bytes, which are all visited where the tuple is hashed as a key. The
opcodes tell both, in time by the length of the file, before anything is made of them.
"""

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pickletools import genops
from typing import Any, BinaryIO

import torch

LONGEST_NAME = 256
"""Characters of a class or function with its module; those of torch and numpy have up to 60."""
_MAX_SHARING = 16
"""Places that a tuple may have for each byte up to it; without sharing each takes its own byte."""
_ANY_SHARING = 1024
"""Bytes that are granted to every file."""
_NUM_LEGACY = 5
"""Pickles in torch's oldest format: magic number, version, system, content, keys of storages."""

_ATOMS = frozenset(
    [
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1"),
        *("BINUNICODE", "SHORT_BINSTRING"),
        *("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"),
    ]
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
# Values that are no number of places: a class or function, the text that the old format puts before
# the class of a module and the source of that, and the tuple of these.
_NAME, _MODULE, _MODULE_ID = 0, -1, -2


class OddPickleError(pickle.UnpicklingError):
    """A pickle that `torch.save` does not write, and that would take long to read or to refuse."""


def load_pickled(file: BinaryIO, *, map_location: torch.device | str) -> Any:
    """Read what `torch.save` wrote, in its format of today or its oldest one.

    Args:
        file: The open file, seekable, at its beginning.
        map_location: Where tensors are put.

    Raises:
        pickle.UnpicklingError: If it holds more than tensors and plain values; `OddPickleError` if
            it was made to take long.
        Exception: Whatever torch and zipfile raise over bytes that are damaged.
    """
    for pickled in _pickles(file):
        if not _require_quick(pickled):
            break
    file.seek(0)
    return torch.load(file, map_location=map_location, weights_only=True)


def _pickles(file: BinaryIO) -> Iterator[Any]:
    """Give every stream that torch may read as a pickle, one after the other."""
    is_archive = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    if not is_archive:
        yield from [file] * _NUM_LEGACY  # each begins where the one before it ends
        return
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            # torch finds its entries whatever their case.
            if entry.filename.lower().endswith("/data.pkl"):
                with closing(archive.open(entry)) as pickled:
                    yield pickled


def _require_quick(pickled: Any) -> bool:
    """Follow a pickle as torch does, with the number of places of each value in place of it.

    Returns:
        Whether it comes to its end; False where torch refuses it by an opcode or a name.

    Raises:
        OddPickleError: If a name is long, something else than a name is called, or a tuple has many
            more places than the file has bytes.
        IndexError: If an opcode takes what is not there, as torch does.
        KeyError: As well.
    """
    stack: list[int] = []
    outer: list[list[int]] = []
    memo: dict[Any, int] = {}
    for opcode, argument, position in _opcodes(pickled):
        match opcode:
            case "PROTO":
                pass
            case "MARK":
                outer.append(stack)
                stack = []
            case "GLOBAL":
                if len(argument) > LONGEST_NAME:
                    raise OddPickleError(f"it has a name of {len(argument):,} characters")
                if argument.endswith(" getattr"):  # what it gives may be called as a name is
                    return False
                stack.append(_NAME)
            case "REDUCE" | "NEWOBJ":
                stack.pop()
                if stack.pop() != _NAME:
                    raise OddPickleError("it calls what is no class or function")
                stack.append(1)
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                if opcode == "TUPLE":
                    items, stack = stack, outer.pop()
                else:
                    items = [stack.pop() for _ in range(_TUPLES[opcode])][::-1]
                num_places = 1 + sum(max(1, item) for item in items)
                if num_places > _MAX_SHARING * (position + _ANY_SHARING):
                    raise OddPickleError(f"a tuple unfolds to {num_places:,} places")
                stack.append(_MODULE_ID if items[:1] == [_MODULE] else num_places)
            case "BUILD" | "APPEND":
                stack.pop()
            case "SETITEM":
                stack.pop()
                stack.pop()
            case "APPENDS" | "SETITEMS":
                stack = outer.pop()
            case "BINPERSID":
                if stack[-1] == _MODULE_ID:  # what it gives would be called
                    return False
                stack[-1] = 1
            case "BINUNICODE" if argument == "module":
                stack.append(_MODULE)
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "STOP":
                return True
            case _ if opcode in _ATOMS:
                stack.append(1)
            case _:
                return False
    return False


def _opcodes(pickled: Any) -> Iterator[tuple[str, Any, int]]:
    try:
        for opcode, argument, position in genops(pickled):
            yield opcode.name, argument, position or 0
    except ValueError as error:
        # torch reads on where this one does not, past a name with an accent.
        raise OddPickleError(str(error)) from error
