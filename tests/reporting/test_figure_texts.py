"""Every text of every figure is a literal of ours, or is made safe where it enters."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for top in ("autoseg", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
    if "from matplotlib" in path.read_text(encoding="utf-8")
)

# Methods of matplotlib that take text: method, and the place of the text among its arguments.
TEXT_PLACES = {
    **dict.fromkeys(("set_title", "suptitle", "supxlabel", "supylabel"), 0),
    **dict.fromkeys(("set_xlabel", "set_ylabel", "set_label", "set_text", "annotate"), 0),
    **dict.fromkeys(("set_xticklabels", "set_yticklabels", "bar", "barh"), 0),
    **dict.fromkeys(("set_xticks", "set_yticks", "legend"), 1),
    "text": 2,
}
TEXT_KEYWORDS = {"label", "labels", "title", "text", "s", "xlabel", "ylabel"}
SAFE = {"figure_text", "formula"}


def is_safe(text):
    """Tell whether an expression is made of literals and of what the two functions return."""
    if isinstance(text, ast.Constant):
        return True
    if isinstance(text, ast.Call):
        return isinstance(text.func, ast.Name) and text.func.id in SAFE
    if isinstance(text, ast.BoolOp | ast.List | ast.Tuple):
        parts = text.values if isinstance(text, ast.BoolOp) else text.elts
        return all(map(is_safe, parts))
    if isinstance(text, ast.ListComp | ast.GeneratorExp):
        return is_safe(text.elt)
    return isinstance(text, ast.Starred) and is_safe(text.value)


def unsafe_texts(source):
    """List the texts that a file gives to matplotlib as they came, with their lines."""
    tree = ast.parse(source)
    # A name counts as safe if all that the file ever binds to it is.
    from_matplotlib, bound = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("matplotlib"):
            from_matplotlib |= {alias.name for alias in node.names}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            bound.setdefault(node.targets[0].id, []).append(node.value)
        elif isinstance(node, ast.arg):
            bound.setdefault(node.arg, []).append(node)
        elif isinstance(node, ast.For | ast.comprehension):
            for name in ast.walk(node.target):
                if isinstance(name, ast.Name):
                    bound.setdefault(name.id, []).append(name)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        method = node.func.attr if isinstance(node.func, ast.Attribute) else None
        is_class = isinstance(node.func, ast.Name) and node.func.id in from_matplotlib
        if method is None and not is_class:
            continue
        texts = [word.value for word in node.keywords if word.arg in TEXT_KEYWORDS]
        texts += node.args[TEXT_PLACES.get(method, len(node.args)) :][:1]
        for text in texts:
            values = bound.get(text.id, [text]) if isinstance(text, ast.Name) else [text]
            if not all(map(is_safe, values)):
                found.append(f"line {text.lineno}: {ast.unparse(text)}")
    return found


@pytest.mark.parametrize("path", FILES)
def test_no_text_reaches_a_figure_as_it_came(path):
    assert unsafe_texts((ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("axes.set_title(name, fontsize=7)", True),
        ("axes.set_title(figure_text(name), fontsize=7)", False),
        ("axes.set_title('mIoU (%)')", False),
        ("axes.text(0, 0, f'{name}')", True),
        ("axes.plot([0], [1], label=row.label)", True),
        ("axes.plot([0], [1], label=formula(curve.label))", False),
        ("from matplotlib.patches import Patch\nPatch(label=name)", True),
        ("axes.set_yticks(rows, [str(x) for x in xs])", True),
        ("figure.legend(title=figure_text(x) or None)", False),
        ("names = [figure_text(x) for x in xs]\naxes.barh(names, xs)", False),
        ("names = list(xs)\naxes.barh(names, xs)", True),
        ("a = 'x'\ndef draw(a):\n    axes.set_title(a)", True),
        ("for a in names:\n    axes.set_title(a)", True),
        ("draw_cell(architecture, title=name)", False),  # not matplotlib's
    ],
)
def test_the_scan_finds_what_it_should(line, is_found):
    assert bool(unsafe_texts(line)) == is_found
