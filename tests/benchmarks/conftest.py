"""What tests of several benchmarks share."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fresh_process import CONTEXT

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark of the search step: the command and its parts, as attributes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    parts = ("calls", "figures", "peer", "report", "running", "scaling", "setting")
    parts += ("variants", "work", "worker")
    modules = {name: importlib.import_module(f"search_cost.{name}") for name in parts}
    return SimpleNamespace(command=importlib.import_module("search_step"), **modules)


@pytest.fixture
def forked_variants(bench, monkeypatch):
    """Fork the variants' processes off the one that has imported torch: each starts 2 s sooner."""
    monkeypatch.setattr(
        bench.worker, "multiprocessing", SimpleNamespace(get_context=lambda method: CONTEXT)
    )
