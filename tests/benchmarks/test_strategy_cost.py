"""The benchmark of a step's cost: who takes part, and what its table says."""

import csv
import importlib
from pathlib import Path

import pytest

from tests.strategies.contract import task_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("strategy_cost")


def test_every_turn_gives_a_table_with_a_ratio_to_darts_of_the_same_turn(
    bench, tmp_path, monkeypatch
):
    # Each piece of work takes as many milliseconds as its number, whatever this machine does.
    numbers = iter(range(1, 100))
    monkeypatch.setattr(bench, "_milliseconds", lambda work: (work(), float(next(numbers)))[1])
    tables = list(bench.measure(task_of("pc"), repeats=2))
    assert [[row.num_steps for row in rows] for rows in tables] == [[1] * 8, [2] * 8]
    bench.write_rows(tables[-1], tmp_path / "new" / "cost.csv")
    with (tmp_path / "new" / "cost.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == [
        *("darts", "darts2", "gumbel", "pc", "drnas"),
        *("darts, weights alone", "single path", "eigenvalue"),
    ]
    assert float(rows["darts"]["ratio"]) == 1
    # The second and the third turn: darts took 9 and 17, gumbel 11 and 19.
    assert float(rows["gumbel"]["median_ms"]) == 15
    assert float(rows["gumbel"]["ratio"]) == pytest.approx((11 / 9 + 19 / 17) / 2)
    # The same supernet keeps the same; one way through it, and half of its channels, keep less.
    kept = {name: float(row["kept_mib"]) for name, row in rows.items()}
    assert kept["darts"] == kept["darts2"] == kept["eigenvalue"]
    assert kept["single path"] < kept["pc"]
    assert kept["gumbel"] < kept["pc"] < kept["darts"]
