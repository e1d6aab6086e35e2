"""Packages whose names are imported when they are first used."""

import importlib
import sys
from collections.abc import Callable
from typing import Any


def deferred_names(
    package: str, *modules: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`, which import its modules late.

    A command explains itself at once then, although its package's names need torch. The package
    imports the same names under `TYPE_CHECKING`, for those who read and check it.

    Args:
        package: `__name__` of the package; its `__all__` lists the names.
        modules: The package's modules that have them, in the order in which they are looked up; a
            name that begins with a dot is a module beside the package.
    """

    def find(name: str) -> Any:
        here = sys.modules[package]
        if name in here.__all__:
            for module in modules:
                place = _import(f".{module}", package)
                if hasattr(place, name):
                    setattr(here, name, getattr(place, name))
                    return getattr(place, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        here = sys.modules[package]
        return sorted({*vars(here), *here.__all__})

    return find, names


def _import(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module, package)
    except AttributeError as error:
        # Let through, it would be taken for the answer that the package has no such name.
        raise ImportError(f"{package}{module} cannot be imported: {error}") from error
