"""Compiled kernels, which an installation has where it found a C++20 compiler."""

import importlib
import os
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType

from autoseg.errors import UsageError

_NAME = f"{__name__}._core"
_NATIVE_DIR = "AUTOSEG_NATIVE_DIR"
INTERFACE = 7
"""Counts changes of the compiled functions that Python calls; an older build has another number or
none."""


def core() -> ModuleType | None:
    """Load the compiled kernels, at the first call.

    The environment variable AUTOSEG_NATIVE_DIR names the folder of another build of them, one with
    sanitizers say. AUTOSEG_ISA forces an instruction set: avx512, avx2 or plain.

    Returns:
        The module `autoseg._native._core`; None where it is missing (see `missing_reason`).

    Raises:
        UsageError: If AUTOSEG_NATIVE_DIR holds no build for this Python, or AUTOSEG_ISA names an
            instruction set that is unknown or that this processor lacks.
    """
    return _load()[0]


def missing_reason() -> str | None:
    """Say why there are no compiled kernels and how to get them; None where there are some.

    Raises:
        UsageError: As `core` does.
    """
    return _load()[1]


@cache
def _load() -> tuple[ModuleType | None, str | None]:
    # torch brings its own copy of the OpenMP run-time. Loaded first, it serves the kernels as well;
    # the other way round, two pools of threads would compete for the cores.
    import torch  # noqa: F401

    folder = os.environ.get(_NATIVE_DIR)
    try:
        module = _load_from(folder) if folder else importlib.import_module(_NAME)
    except ModuleNotFoundError:
        return None, (
            "Installing autoseg again where there are a C++20 compiler (g++ or clang++) and "
            "Python's headers builds them; `pip install -v` shows why it could not."
        )
    except ImportError as error:
        if folder:
            raise
        return None, f"They were built but cannot be loaded; install autoseg again. ({error})"
    if getattr(module, "interface", 1) != INTERFACE:
        return None, "Those at hand are of another version; install autoseg again."
    try:
        module.isa()
    except ValueError as error:
        raise UsageError(str(error)) from None
    return module, None


def _load_from(folder: str) -> ModuleType:
    spec = PathFinder.find_spec(_NAME, [folder])
    if spec is None or spec.loader is None:
        raise UsageError(f"{_NATIVE_DIR}={folder!r}: no _core module for this Python is there.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
