"""The benchmark of a training step: what its table says."""

import csv
import importlib
from contextlib import nullcontext
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
    assert row["compiled_ms"] == row["compiled_ratio"] == row["compiling_s"] == ""


def test_a_compiled_step_is_put_beside_that_of_the_same_turn(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("training_step")
    numbers = iter(range(1, 100))
    monkeypatch.setattr(bench, "_milliseconds", lambda work: (work(), float(next(numbers)))[1])
    monkeypatch.setattr(bench, "_seconds_with_compiler", lambda work: (work(), 60.0)[1])
    # Torch's compiler takes a minute.
    monkeypatch.setattr(bench, "compiled", lambda network, device: nullcontext(network))
    out = tmp_path / "steps.csv"
    asked = ["--network", "icnet_resnet50", "--compile", "--repeats", "1", "--out", str(out)]
    assert bench.main(asked) == 0
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    # Two turns of three steps warm up.
    assert (float(row["channels_last_ms"]), float(row["compiled_ms"])) == (8, 9)
    assert float(row["compiled_ratio"]) == pytest.approx(8 / 9)
    assert float(row["compiling_s"]) == 60
    assert "9.0 ms compiled in 60 s   0.89 times" in capsys.readouterr().out
