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


def takers_of(config):
    """List the functions of the package that take a value of a type, as file:function."""
    for path in sorted((ROOT / "autoseg").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if any(
                    each.annotation and ast.unparse(each.annotation) == config for each in arguments
                ):
                    yield f"{path.relative_to(ROOT).as_posix()}:{node.name}"


def test_the_request_of_a_retraining_visits_six_functions_and_the_page_names_them():
    section = PAGE.split("## The request of a retraining\n")[1].split("\n## ")[0]
    visited = re.findall(r"^\d\. `([^`]+)`", section, re.MULTILINE)
    assert len(visited) == 6
    (main, *others), resuming = visited, "autoseg/commands/retrain_plan.py:plan_resumed"
    assert main == "autoseg/retrain.py:main"  # which builds it
    assert sorted(takers_of("RetrainRequest")) == sorted([*others, resuming])
    assert f"`{resuming}`" in section
