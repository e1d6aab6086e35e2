"""The benchmark of sizes: the law is found again, and what is known is not measured anew."""

import importlib
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from autoseg.errors import UsageError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scaling")


def planted(bench, size):
    """Return a row in which a step takes 2 L F^0.5 crop^1.5 batch^0.75 ms, and a tenth more of
    it for each further process."""
    milliseconds = 2 * size.num_layers * size.filter_multiplier**0.5
    milliseconds *= size.crop**1.5 * size.batch_size**0.75 * (0.9 + 0.1 * size.num_processes)
    times = {"median_ms": milliseconds, "fastest_ms": milliseconds, "slowest_ms": milliseconds}
    return bench.StepRow(**asdict(size), num_params=7, **times)


def test_a_planted_law_is_found_and_what_is_known_is_kept(bench, tmp_path, monkeypatch, capsys):
    asked = []

    def measure(size, *, num_steps):
        if len(asked) == 20:
            raise KeyboardInterrupt
        asked.append(size)
        return planted(bench, size)

    monkeypatch.setattr(bench, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        bench.main(["--out", str(tmp_path)])
    before, asked[:] = list(asked), []
    assert bench.main(["--out", str(tmp_path)]) == 0
    assert before + asked == list(bench.sizes())
    text = (tmp_path / "scaling.md").read_text()
    law = "2 ms x layers^1.00 x filters F^0.50 x crop (pixels)^1.50 x batch (images)^0.75"
    assert f"A step of the retraining takes {law}, within 0% of each of 13 measured sizes." in text
    assert "Shared by 2 processes at crop 192, a step of the search takes +10% of" in text
    assert (tmp_path / "scaling.svg").exists()
    fitted = bench.fit_law(bench.load_rows(tmp_path / "scaling.csv"), "search")
    size = replace(before[0], num_layers=30, crop=500)
    assert fitted.milliseconds(size) == pytest.approx(planted(bench, size).median_ms)


@pytest.mark.nightly
def test_a_step_of_each_kind_can_be_shared(bench):
    for work in ("search", "retraining"):
        small = bench.Size(work=work, crop=64, batch_size=2, num_layers=3)
        rows = [
            bench.measure(replace(small, num_processes=number), num_steps=1) for number in (1, 2)
        ]
        assert rows[0].num_params == rows[1].num_params > 10_000
        assert all(row.median_ms > 1 for row in rows)


def test_a_count_below_one_is_refused(bench):
    with pytest.raises(UsageError, match="--num-steps is 0; it must be at least 1"):
        bench.ScalingRequest(num_steps=0)
