"""The benchmark of a training step: what its table says."""

import csv
import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_row_compares_steps_of_the_same_turn(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("training_step")
    # Each step takes as many milliseconds as its number, whatever this machine does; two turns of
    # two steps warm up.
    numbers = iter(range(1, 100))
    monkeypatch.setattr(bench, "_milliseconds", lambda work: (work(), float(next(numbers)))[1])
    out = tmp_path / "new" / "steps.csv"
    assert bench.main(["--network", "icnet_resnet50", "--repeats", "2", "--out", str(out)]) == 0
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["network"], row["num_steps"]) == ("icnet_resnet50", "2")
    assert (float(row["contiguous_ms"]), float(row["channels_last_ms"])) == (6, 7)
    assert float(row["ratio"]) == pytest.approx((5 / 6 + 7 / 8) / 2)
