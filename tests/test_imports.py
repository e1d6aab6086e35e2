"""The floors of the house: which folder may import which, and what importing may do."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from autoseg.__main__ import COMMANDS
from tests.fresh_process import printed_by

ROOT = Path(__file__).parents[1]
PATHS = sorted(
    path.relative_to(ROOT).as_posix()
    for top in ("autoseg", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
)

# What each folder of `autoseg` may import of the others; the ground's files are open to all.
ALLOWED: dict[str, set[str]] = {
    "config": set(),
    "_native": set(),
    "architecture": set(),
    "ops": {"architecture"},  # the table of operations
    "crf": {"_native"},
    "data": set(),
    "distributed": set(),
    "runs": {"distributed"},  # one writer
    "metrics": set(),
    "cost": {"ops"},  # how many channels a network's images have
    "cli": {"distributed"},  # the first process speaks for all
    "requests": set(),
    "supernet": {"architecture", "ops", "_native"},
    "networks": {"architecture", "ops", "crf"},  # a network may end in a CRF, trained with it
    "evaluation": {"data", "metrics", "distributed"},
    "trained": {
        *("architecture", "networks", "ops", "crf", "data", "runs"),  # what was trained
        "evaluation",  # and what it predicts
    },
    "tuning": {"trained", "crf", "data", "evaluation", "metrics", "runs"},
    "training": {
        *("data", "runs", "evaluation", "distributed"),
        "cost",  # whether it was memory that ran out
    },
    "zero_cost": {"cost"},  # the sizes that its scores have to beat
    "proposers": {"architecture", "runs"},  # what is proposed, and the journal of trials
    "strategies": {
        *("supernet", "networks", "training"),  # what it moves, what it retrains, and how
        *("proposers", "zero_cost"),  # what is tried next, and what it is worth untrained
        *("architecture", "data", "runs", "pricing", "distributed"),
    },
    "pricing": {"architecture", "networks", "ops", "cost", "runs"},  # what a table was measured on
    "reporting": {"architecture"},
    "comparison": {
        *("trained", "data", "networks", "evaluation", "crf", "metrics", "cost"),  # measuring
        *("reporting", "runs"),  # documents, records, the progress
        "export",  # the forms in which a network runs
    },
    "export": {
        *("networks", "evaluation", "trained"),  # the graph, and what its card says
    },
    # All that a person can ask for comes together here: every room but those of the insides,
    # supernet, ops and _native, which strategies, networks and CRF use for it.
    "commands": {
        *("requests", "cli"),  # what was asked, and how the user is told
        *("data", "architecture", "networks", "crf"),  # images and models
        *("strategies", "training", "evaluation", "metrics", "cost", "runs"),  # what is done
        *("trained", "tuning", "comparison", "reporting", "export"),  # and what comes of it
        "distributed",  # the first process draws
        "pricing",  # tables of latency
    },
}
# The commands, each a file of its own: they read what was asked for, call, and print. Some are the
# __main__ of a package, which is no part of it then: nothing imports a command.
DOORS = {"autoseg/__main__.py"} | {
    module.replace(".", "/") + ".py" for module, _ in COMMANDS.values()
}
DOOR_MAY_IMPORT = {"cli", "requests", "commands"}
# What `import autoseg` offers by itself, when it is asked for.
FRONT = "autoseg/__init__.py"
FRONT_MAY_IMPORT = {
    *("architecture", "supernet", "networks", "crf", "data", "metrics", "cost", "trained")
}
GROUND = {
    *("atomic", "backends", "contract", "deferred", "errors", "first_order"),
    *(
        "foreign_text",
        "json_file",
        "launch",
        "normalisation",
        "pickles",
        "toml_file",
        "upload",
        "user_imports",
    ),
}
GROUND_FOLDERS = {"config"}
# The choice of what computes asks whether the compiled kernels are there.
GROUND_MAY_IMPORT = {"autoseg/backends.py": {"_native"}}
GROUND_FILES = {f"autoseg/{name}.py" for name in GROUND}
NOT_COMMANDS = GROUND | {"__version__"}

MAX_LINES = 400
# Longer files, each with its reason: "autoseg/a/b.py": "why it is one idea".
LONG_FILES: dict[str, str] = {}


@cache
def imported_modules(source, package):
    """List the dotted names that a file imports, wherever in the file it does.

    Args:
        source: Python source text.
        package: Package that the file is in, as a tuple, to which relative imports refer.
    """
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            # "from autoseg import search" imports a module by what stands after "import".
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def broken_rules(source, path):
    """List the imports of a file, given by its path from the root, that the table forbids."""
    *package, _ = Path(path).parts
    own, allowed = _row(path)
    broken = []
    for name in imported_modules(source, tuple(package)):
        top, *rest = name.split(".")
        if top == "benchmarks" and package[0] != "benchmarks":
            broken.append(f"{path} imports {name}, but nothing imports a benchmark")
        if top != "autoseg" or not rest or rest[0] in NOT_COMMANDS:
            continue
        target = rest[0]
        if target not in ALLOWED or "__main__" in rest:
            broken.append(f"{path} imports {name}, but nothing imports a command")
        elif target in GROUND_FOLDERS and path not in GROUND_FILES:
            continue
        elif target not in {*allowed, own}:
            listed = ", ".join(sorted(allowed)) or "no other folder"
            broken.append(f"{path} imports {name}, but {own or path} may import {listed}")
    return broken


def _row(path):
    """Return the folder whose insides a file may import, if any, and what it may beside them."""
    top, *folders, _ = Path(path).parts
    if top == "benchmarks":
        return None, set(ALLOWED)
    if path in DOORS:
        return None, DOOR_MAY_IMPORT
    if path == FRONT:
        return None, FRONT_MAY_IMPORT
    if path in GROUND_FILES:
        return None, GROUND_MAY_IMPORT.get(path, set())
    return folders[0], ALLOWED.get(folders[0], set())


def test_imports_point_one_way():
    found = {path: broken_rules((ROOT / path).read_text(encoding="utf-8"), path) for path in PATHS}
    assert {path: rules for path, rules in found.items() if rules} == {}


def test_a_folder_hands_on_nothing_that_is_not_its_own():
    # Whoever looks for a name finds it in the room that it is imported from.
    handed_on = []
    for path in PATHS:
        top, *folders, file = Path(path).parts
        if top != "autoseg" or not folders or file != "__init__.py":
            continue
        for name in imported_modules((ROOT / path).read_text(encoding="utf-8"), (top, *folders)):
            _, room, *_ = f"{name}..".split(".")
            if name.startswith("autoseg.") and room not in {folders[0], *GROUND}:
                handed_on.append(f"{path}: {name}")
    assert handed_on == []


def test_every_folder_has_a_row_and_every_other_file_a_place():
    folders = {path.name for path in (ROOT / "autoseg").iterdir() if any(path.rglob("*.py"))}
    assert folders == set(ALLOWED)
    files = {path for path in PATHS if path.startswith("autoseg/") and path.count("/") == 1}
    mains = {path for path in PATHS if path.startswith("autoseg/") and "__main__" in path}
    assert files | mains == DOORS | GROUND_FILES | {FRONT}


def test_the_table_allows_nothing_that_is_not_needed():
    used = {folder: set() for folder in ALLOWED}
    for path in PATHS:
        if path.startswith("autoseg/") and path not in DOORS | GROUND_FILES | {FRONT}:
            source = (ROOT / path).read_text(encoding="utf-8")
            names = imported_modules(source, Path(path).parts[:-1])
            used[path.split("/")[1]] |= {f"{name}.".split(".")[1] for name in names}
    unused = {folder: ALLOWED[folder] - used[folder] for folder in ALLOWED}
    assert {folder: names for folder, names in unused.items() if names} == {}


def test_the_page_of_the_architecture_has_the_same_table():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+\. \|([^|]*)\|$", page, re.MULTILINE)
    assert {room: {*names.replace(",", " ").split()} for room, names in rows} == ALLOWED
    assert {path for path in DOORS | GROUND_FILES if f"`{path}`" not in page} == set()


def test_the_table_has_no_circle():
    # Allowed and acyclic: otherwise "one way" means nothing.
    placed: set[str] = set()
    while ready := {name for name in ALLOWED if name not in placed and ALLOWED[name] <= placed}:
        placed |= ready
    assert placed == set(ALLOWED)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("autoseg/architecture/a.py", "import autoseg.ops"),
        ("autoseg/architecture/a.py", "from autoseg.ops.blocks import conv_bn"),
        ("autoseg/data/street/a.py", "from autoseg import metrics"),
        ("autoseg/data/street/a.py", "from ...metrics import ConfusionMatrix"),
        ("autoseg/supernet/a.py", "def f():\n    from autoseg.training import loop"),
        ("autoseg/training/a.py", "if TYPE_CHECKING:\n    from autoseg.strategies import x"),
        ("autoseg/strategies/a.py", "from autoseg.search import main"),
        ("autoseg/retrain.py", "from autoseg import search"),
        ("autoseg/retrain.py", "from . import search"),
        ("autoseg/evaluate.py", "import benchmarks.compare"),
        ("autoseg/training/a.py", "from autoseg.commands.search import run_search"),
        ("autoseg/commands/search.py", "from autoseg.search import main"),
        ("autoseg/comparison/a.py", "from autoseg.commands.search import run_search"),
        ("autoseg/errors.py", "from autoseg.architecture import SearchSpace"),
        ("autoseg/errors.py", "from autoseg.config import Range"),
        ("autoseg/config/a.py", "from autoseg.data import build_dataset"),
        ("autoseg/requests/a.py", "from autoseg.commands.search import run_search"),
        ("autoseg/crf/a.py", "from autoseg.commands.refine import run_crf"),
        ("autoseg/crf/a.py", "from autoseg.crf.__main__ import main"),
        ("autoseg/commands/refine.py", "import autoseg.crf.__main__"),
        ("autoseg/crf/__main__.py", "from autoseg.search import main"),
        ("autoseg/crf/__main__.py", "from autoseg.crf import DenseCRF"),
        ("autoseg/ops/__main__.py", "from autoseg.commands.refine import run_crf"),
        ("autoseg/search.py", "from autoseg.strategies import STRATEGIES"),
        ("autoseg/__init__.py", "from autoseg.commands.search import run_search"),
        ("autoseg/commands/search.py", "from autoseg.ops import resize"),
        ("autoseg/trained/a.py", "from autoseg.tuning import TuningRecord"),
        ("benchmarks/compare.py", "from autoseg.evaluate import main"),
    ],
)
def test_a_broken_rule_is_found(path, line):
    assert len(broken_rules(line, path)) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("autoseg/architecture/a.py", "from autoseg.architecture.space import SearchSpace"),
        ("autoseg/architecture/a.py", "from .space import SearchSpace\nimport torch"),
        ("autoseg/runs/a.py", "from autoseg import __version__\nimport autoseg"),
        ("autoseg/crf/a.py", "from autoseg.errors import UsageError"),
        ("autoseg/architecture/a.py", "from autoseg.config import BetaNorm"),
        ("autoseg/networks/a.py", "from autoseg.ops import resize"),
        ("autoseg/search.py", "from autoseg.requests import SearchRequest\nimport autoseg.cli"),
        ("autoseg/search.py", "from autoseg.commands.search import run_search"),
        ("autoseg/commands/search.py", "from autoseg.cli import choose_device"),
        ("autoseg/crf/__main__.py", "from autoseg.commands.refine import run_crf"),
        ("benchmarks/compare.py", "from autoseg.reporting import tables\nimport benchmarks.b"),
    ],
)
def test_what_is_allowed_passes(path, line):
    assert broken_rules(line, path) == []


# Imported where it is at hand, and done without elsewhere: package: what declares or brings it.
OPTIONAL = {
    "triton": "torch's CUDA builds bring it; the CPU's tests have it in their extra",
    "onnx": "the extra export",
    "onnxruntime": "the extra export",
    "onnxscript": "the extra export",
    "openvino": "the extra openvino",
    "pynvml": "the extra energy",
    "scipy": "the extra sbd; PNGs take its place",
    "tifffile": "the extra tiff; arrays take its place",
    "webdataset": "the extra webdataset; folders take its place",
}


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
        for requirement in project["dependencies"]
    }
    providers = metadata.packages_distributions()
    # A script's own folder is where Python looks first, so benchmarks import their neighbours.
    own = {"autoseg", "benchmarks", "search_spaces"}
    own |= {path.stem for path in (ROOT / "benchmarks").iterdir()}
    undeclared = set()
    for path in PATHS:
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in imported_modules(source, Path(path).parts[:-1]):
            top = name.split(".")[0]
            if top in own or top in OPTIONAL or top in sys.stdlib_module_names:
                continue
            if declared.isdisjoint(provider.lower() for provider in providers.get(top, [])):
                undeclared.add(f"{path}: {top}")
    assert undeclared == set()


def test_a_file_is_one_idea():
    # Split a file that is too long, or say why not; take out of LONG_FILES what is short again.
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in PATHS}
    too_long = {path: length for path, length in lengths.items() if length > MAX_LINES}
    assert too_long.keys() == LONG_FILES.keys(), too_long


PROBE = """
import importlib, random, sys, warnings
import numpy, torch
state = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
settings = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
import autoseg.commands.retrain, autoseg.commands.search
early = [name for name in ("matplotlib", "pandas", "triton") if name in sys.modules]
assert not early, f"{early} take half a second, which no training should wait for"
for name in sys.argv[1:]:
    importlib.import_module(name)
assert random.getstate() == state[0], "random was seeded"
assert numpy.random.get_state()[1].tolist() == state[1], "numpy was seeded"
assert torch.get_rng_state().tolist() == state[2], "torch was seeded"
assert (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()) == settings
assert not torch.cuda.is_initialized(), "a device was touched"
from autoseg.training.optimisers import SGD, Adam, AdamW
for kind in (SGD, Adam, AdamW):
    weight = torch.ones(3, requires_grad=True)
    optimizer = kind([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
early = [name for name in ("torch._dynamo", "sympy") if name in sys.modules]
assert not early, f"{early} take seconds, which only what compiles or exports should wait"
"""


def test_importing_does_nothing(tmp_path, monkeypatch):
    # No prints, no warnings, no files, no seeds, no device, no compiler: every module in a fresh
    # process.
    modules = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in PATHS
        if path.startswith("autoseg/") and not path.endswith("__main__.py")
    ]
    monkeypatch.chdir(tmp_path)
    assert printed_by(PROBE, *modules) == ""
    assert list(tmp_path.iterdir()) == []
