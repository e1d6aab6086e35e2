"""docs/architecture.md names files and functions as they are; test_imports has its table."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:autoseg|tests|benchmarks)/[^`]*)`", PAGE)))


def defined(path):
    """List what a file defines, a class's methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if hasattr(each, "name")}
    return names


@pytest.mark.parametrize("named", NAMED)
def test_what_the_page_names_is_there(named):
    path, _, name = named.partition(":")
    assert (ROOT / path).exists()
    assert not name or name in defined(ROOT / path)


def test_a_name_that_is_not_there_is_found():
    names = defined(ROOT / "autoseg" / "architecture" / "architecture.py")
    assert "Architecture.load" in names
    assert not {"Architecture.lod", "load"} & names
