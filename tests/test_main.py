"""The program of all commands, and how little a command needs to explain itself."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import autoseg
from autoseg import __main__ as program
from autoseg.errors import UsageError

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "pandas", "matplotlib", "PIL", "optuna")

EXPLAIN = f"""
import contextlib, io, runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, (name, end.code)
    assert "usage:" in text.getvalue(), name
    heavy = [module for module in {HEAVY} if module in sys.modules]
    assert not heavy, (name, heavy)
"""


def test_help_imports_nothing_that_takes_time():
    modules = ["autoseg", *(f"autoseg.{name}" for name in program.COMMANDS)]
    subprocess.run([sys.executable, "-c", EXPLAIN, *modules], check=True, cwd=ROOT)


def test_every_command_of_the_package_is_listed(capsys):
    assert program.run([]) == 0
    listing = capsys.readouterr().out
    assert program.run(["--help"]) == 0
    assert capsys.readouterr().out == listing
    found = {path.stem for path in (ROOT / "autoseg").glob("*.py") if "main(" in path.read_text()}
    found |= {path.parent.name for path in (ROOT / "autoseg").glob("*/__main__.py")}
    found.discard("__main__")
    assert found == set(program.COMMANDS)
    for name, (module, purpose) in program.COMMANDS.items():
        assert f"  {name}" in listing and purpose in listing
        assert find_spec(module) is not None


def test_a_command_gets_the_arguments_after_its_name(monkeypatch):
    seen = []
    module = importlib.import_module("autoseg.crf.__main__")
    monkeypatch.setattr(module, "main", lambda argv: seen.append(argv) or 130)
    monkeypatch.setattr(sys, "argv", ["autoseg", "crf", "a.png", "--help"])
    with pytest.raises(SystemExit) as caught:
        program.main()
    assert (caught.value.code, seen) == (130, [["a.png", "--help"]])


def test_an_unknown_command_has_near_ones():
    with pytest.raises(UsageError, match=r"unknown command 'serch'; did you mean 'search'\?"):
        program.run(["serch"])


def test_the_version(capsys):
    assert program.run(["--version"]) == 0
    assert capsys.readouterr().out == f"autoseg {autoseg.__version__}\n"


def test_an_installation_has_the_program():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["autoseg"].partition(":")
    assert getattr(importlib.import_module(module), function) is program.main


def test_nobody_is_sent_to_the_software_that_pypi_calls_autoseg():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "autoseg-nas"
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "autoseg").rglob("*.py")]
    sent = re.compile(r"pip install[^`)&\n]*\bautoseg\b(?!-nas)")
    assert sent.search("pip install --upgrade autoseg") and not sent.search(
        "pip install autoseg-nas"
    )
    for path in texts:
        assert not sent.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("package", ["autoseg", "autoseg.crf", "autoseg.networks"])
def test_names_that_come_late_are_those_that_are_promised(package):
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        _ = module.nonsense


def test_a_name_is_the_one_of_its_own_package():
    from autoseg.architecture import Architecture
    from autoseg.crf.dense_crf import DenseCRF

    assert autoseg.Architecture is Architecture
    assert autoseg.DenseCRF is DenseCRF
    assert autoseg.SearchSpace.load("autodeeplab").num_nodes == 5
