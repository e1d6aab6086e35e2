"""`python benchmarks/soak.py`: what grows is told from what only wavers."""

import importlib
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from tests.one_pixel import one_pixel_figures


@pytest.fixture
def soak(monkeypatch):
    """The benchmark, as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("soak")


@one_pixel_figures()
def test_growth_is_seen_after_the_first_quarter_alone(soak, tmp_path):
    assert soak.growth([1, 9, 100, 100, 300, 0, 110, 110]) == pytest.approx(0.1)

    def verdict(mib, files):
        parts = zip(mib, files, strict=True)
        moments = [
            soak.Moment(minutes=n, resident_mib=m, open_files=f, threads=1)
            for n, (m, f) in enumerate(parts)
        ]
        return soak.write_results(tmp_path, moments, ["--minutes", "8"])[1]

    wavers = [50, 90, 100, 101, 99, 102, 103, 104]
    assert verdict(wavers, [11] * 8)
    assert verdict(wavers, [9, 9, 11, 11, 15, 15, 11, 11])  # files that are closed again
    assert "That is flat" in (tmp_path / "soak.md").read_text()
    assert not verdict(wavers, [11, 11, 11, 11, 11, 11, 12, 12])
    assert not verdict([50, 90, 100, 101, 104, 105, 107, 108], [11] * 8)
    assert "That is NOT flat" in (tmp_path / "soak.md").read_text()


def test_no_time_is_refused(soak):
    with pytest.raises(UsageError, match="--minutes is 0; it must be above 0"):
        soak.SoakRequest(minutes=0)
