"""Parse TOML that may have been damaged, written by hand or made to do harm.

A leaf that every folder may import.
"""

import re
import tomllib
from typing import Any

MAX_PARTS = 100
"""Parts of a dotted key: Python's parser takes the square of their number."""

_PART = r"""(?:"[^"\n]*+"|'[^'\n]*+'|[\w-]++)[ \t]*+\.[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w.-])(?:{_PART}){{{MAX_PARTS}}}")


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parse TOML.

    Args:
        data: UTF-8; a byte order mark, which some editors write, is passed over.

    Raises:
        ValueError: If it is not UTF-8 or not TOML, or has a key of too many parts.
        RecursionError: If it is nested deeper than Python's parser follows.
    """
    text = data.decode("utf-8-sig")
    if key := _LONG_KEY.search(text):
        line = text.count("\n", 0, key.start()) + 1
        raise ValueError(f"line {line} has a key of more than {MAX_PARTS} parts")
    return tomllib.loads(text)
