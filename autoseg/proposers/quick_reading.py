"""Read many trials in a fraction of the time that Optuna takes."""

import functools
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.distributions import json_to_distribution
from optuna.storages import JournalStorage

_PARSER = json_to_distribution.__name__
_JOURNAL = sys.modules[JournalStorage.__module__]
"""Where Optuna's journal looks the parser up."""


@contextmanager
def quick_reading() -> Iterator[None]:
    """Let trials that are read inside share their distributions, and the collector wait.

    Optuna parses the options of every parameter anew for every line of a journal, though the texts
    are the same: half of the time of opening a study. Python's collector of cycles would walk over
    the trials again and again while they become more, and find none.
    """
    shared, was_enabled = functools.cache(json_to_distribution), gc.isenabled()
    gc.disable()
    setattr(_JOURNAL, _PARSER, shared)
    try:
        yield
    finally:
        setattr(_JOURNAL, _PARSER, json_to_distribution)
        if was_enabled:
            gc.enable()
