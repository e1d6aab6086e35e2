"""What tests of several benchmarks share."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark of the search step: the command and its parts, as attributes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    parts = ("calls", "figures", "memory", "peer", "report", "running", "scaling", "setting")
    parts += ("variants", "work", "worker")
    modules = {name: importlib.import_module(f"search_cost.{name}") for name in parts}
    return SimpleNamespace(command=importlib.import_module("search_step"), **modules)
