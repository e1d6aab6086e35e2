"""Whoever writes a file does it through `atomic_write`, or gives a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATHS = sorted(
    path.relative_to(ROOT).as_posix()
    for top in ("autoseg", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
)

METHODS = {
    *("write_text", "write_bytes", "touch", "tofile"),  # pathlib, numpy
    *("save", "savez", "savez_compressed", "savefig", "imwrite"),  # numpy, torch, PIL, matplotlib
    *("save_file", "dump", "to_csv", "to_parquet", "to_pickle", "to_excel"),
    *("symlink_to", "hardlink_to", "copy2", "copyfile", "copytree"),
}
"""Names of methods and functions that write a file when they are given one."""

# "file: call": why half a file does no harm there.
REASONS = {
    "autoseg/atomic.py: open": "the one writer",
    "autoseg/atomic.py: touch": "an empty probe, removed at once",
    "autoseg/runs/lock.py: write_text": "tells a person who holds the lock; nothing reads it back",
    "benchmarks/on_gpu.py: open": "what a program says as it runs; appended to by each call",
    "autoseg/runs/json_lines.py: open": "appended to; a cut last line is healed when it is opened",
    "autoseg/data/shards/archive.py: write_bytes": "a file of one reading, gone with it",
    "autoseg/tuning/logits_cache.py: save": "files of one process, gone with it",
    "autoseg/commands/predict.py: write_text": "results outside of runs",
    "autoseg/commands/predict.py: save": "results outside of runs",
    "autoseg/cost/resident.py: write_text": "a switch of the kernel under /proc",
    "benchmarks/kill_and_resume.py: copytree": "files of one process, gone with it",
    "benchmarks/killed_runs/jobs.py: write_text": "files of one process, gone with it",
    "benchmarks/killed_runs/processes.py: open": "half a line, as a kill leaves it",
    "benchmarks/killed_runs/processes.py: write_text": "files of one process, gone with it",
    "benchmarks/soak.py: write_text": "files of one process, gone with it",
    "benchmarks/soak.py: open": "files of one process, gone with it",
    "benchmarks/soak.py: save": "files of one process, gone with it",
    "benchmarks/soak.py: copytree": "files of one process, gone with it",
}


def writing_calls(source: str) -> Iterator[tuple[str, int]]:
    """List the calls that write a file, as (name, line); not those inside `atomic_write(...)`."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            if _name_of(node) == "atomic_write":
                continue
            if name := _written_by(node):
                yield name, node.lineno
        waiting += ast.iter_child_nodes(node)


def _name_of(call: ast.Call) -> str | None:
    """Return the last name of what is called; None where it has none, as `f()()`."""
    function = call.func
    return getattr(function, "attr", None) or getattr(function, "id", None)


def _written_by(call: ast.Call) -> str | None:
    name = _name_of(call)
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if name == "open":
        texts = [a.value for a in arguments if isinstance(a, ast.Constant)]
        modes = [text for text in texts if isinstance(text, str) and set(text) <= set("rwaxbt+")]
        return name if any(set(mode) & set("wax+") for mode in modes) else None
    if name not in METHODS or not isinstance(call.func, ast.Attribute):
        return None
    # An Architecture writes itself through atomic_write; safetensors.torch.save returns bytes.
    owner = ast.unparse(call.func.value)
    if name == "save" and (owner.endswith("architecture") or owner == "safetensors.torch"):
        return None
    if name.startswith("to_") and not call.args:  # pandas returns the text where no path is given
        return None
    # `buffer` is memory, by our custom.
    return None if any(ast.unparse(a) == "buffer" for a in arguments) else name


def test_files_are_written_whole_or_not_at_all():
    found = {
        f"{path}: {name}": line
        for path in PATHS
        for name, line in writing_calls((ROOT / path).read_text(encoding="utf-8"))
    }
    assert {call: line for call, line in found.items() if call not in REASONS} == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('open("x", "w")', ["open"]),
        ('path.open("ab", buffering=0)', ["open"]),
        ('path.open(mode="r+b")', ["open"]),
        ('open("notes.txt")', []),
        ('path.open("rb")', []),
        ('path.write_text("x")', ["write_text"]),
        ("np.save(path, x)", ["save"]),
        ("torch.save(x, buffer)", []),
        ("atomic_write(path, lambda file: np.save(file, x))", []),
        ("architecture.save(path)", []),
        ("frame.to_csv(path)", ["to_csv"]),
        ("frame.to_csv(index=False)", []),
        ("to_csv(records, columns)", []),
    ],
)
def test_a_writer_is_found(line, found):
    assert [name for name, _ in writing_calls(line)] == found
