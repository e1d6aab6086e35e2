"""Names and docstrings are words that a stranger understands."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAGMENT = re.compile(
    r"(Of|As in|As for|See|The same|Likewise|Ours|In full|Its|Their|Th(at|ose) of)\b[^:]*$"
)
ARGUMENT = re.compile(r"^ +\w+: (Of |As in |As for |See `|See above|Likewise)", re.MULTILINE)


def is_fragment(text: str) -> bool:
    """Tell whether a docstring says nothing without what stands above it."""
    first = text.split("\n\n")[0].replace("\n", " ").strip()
    return FRAGMENT.match(first) is not None or ARGUMENT.search(text) is not None


def problems(tree: ast.AST):
    """List the docstrings and texts under fields that are fragments, and names that begin so."""
    for node in ast.walk(tree):
        name = getattr(node, "name", None) or getattr(node, "arg", None) or getattr(node, "id", "")
        if isinstance(name, str) and re.match(r"_?of(_|$)", name):
            yield f"{node.lineno}: {name}"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str) and is_fragment(text):
                yield f"{node.lineno}: {text.strip()[:60]}"


@pytest.mark.parametrize(
    "source",
    [
        '"""Of alpha."""',
        '"""As in `forward`."""',
        '"""See `depthwise`."""',
        '"""Ours."""',
        '"""Their number."""',
        '"""Those of the estimator."""',
        'def add(size):\n    """Add two maps.\n\n    Args:\n        size: Of the state.\n    """',
        "def of(): pass",
        "def add(of_maps): pass",
        "_of = 1",
    ],
)
def test_fragments_are_found(source):
    assert list(problems(ast.parse(source)))


def test_sentences_are_none():
    source = '''
def seed(offset, official):
    """Offset of the features.

    Args:
        offset: Seed of the weights.
    """
'''
    assert not list(problems(ast.parse(source)))


def test_no_text_is_half_a_sentence_and_nothing_is_called_of():
    found = [
        f"{path.relative_to(ROOT)}:{problem}"
        for top in ("autoseg", "benchmarks")
        for path in sorted((ROOT / top).rglob("*.py"))
        for problem in problems(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)
