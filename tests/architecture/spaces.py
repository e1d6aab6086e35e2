"""Files of small search spaces, and the check that one is refused."""

import re

import pytest

from autoseg.architecture import SearchSpace
from autoseg.errors import UsageError

LINES = {
    "format_version": "1",
    "name": '"mine"',
    "paper": '"none"',
    "num_layers": "4",
    "num_nodes": "2",
    "strides": "[4, 8]",
    "operations": '["none", "skip_connect"]',
    "stem_channels": "[8, 8, 16]",
    "filter_multiplier": "4",
    "head_rate_times_stride": "96",
}


def write_space(folder, *, without=(), **changes):
    """Write a small valid space with some lines changed, added or left out."""
    lines = {key: value for key, value in (LINES | changes).items() if key not in without}
    path = folder / "mine.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    return path


def refused(path, message, **options):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        SearchSpace.load(path, **options)
