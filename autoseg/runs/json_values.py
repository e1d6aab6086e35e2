"""Turn configuration and measurements into values that JSON holds, with nothing lost in silence."""

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import numpy as np

from autoseg.json_file import JsonValue


def to_json(value: object, *, where: str) -> JsonValue:
    """Convert a value to what `json.dump` writes.

    Paths become strings, tuples lists, dataclasses dictionaries, numpy numbers Python's. NaN, which
    JSON does not have, becomes null: it stands for "undefined", as the IoU of an absent class.
    Infinity is refused, because null would hide a number that has run away. In text, what cannot be
    read back (NUL, and the bytes of a file's name that is not UTF-8) becomes an escape; a path with
    such a name is refused, because the escape would name another file.

    Args:
        value: The value, nested to any depth.
        where: Its name in error messages, for example "metrics.loss".

    Returns:
        The value made of None, bool, int, float, str, list and dict alone.

    Raises:
        ValueError: If a number is infinite or has more than 64 bits, a path is not UTF-8, or a
            dictionary's key is not a string.
        TypeError: If a value has no JSON form, for example a tensor.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Path):
        if _readable(str(value)) != str(value):
            raise ValueError(
                f"{where} is {_readable(str(value))}, whose name is not UTF-8, so that no record "
                "can hold it; rename the file or folder."
            )
        return str(value)
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, int) and abs(value) >= 2**64:
        raise ValueError(f"{where} is a whole number of more than 64 bits.")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(
                f"{where} is {value}: JSON has no infinity; clip it, or leave the field out."
            )
        return None if math.isnan(value) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}: JSON keys must be strings.")
        return {
            _readable(key): to_json(item, where=f"{where}.{key}") for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_json(item, where=f"{where}[{i}]") for i, item in enumerate(value)]
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(
        f"{where} is a {name}, which has no JSON form; "
        "give a number, a string, a list or a dictionary (x.item() or x.tolist() for a tensor)."
    )


def _readable(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")
