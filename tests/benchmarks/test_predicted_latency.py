"""What the comparison of predicted and measured latency says, by hand."""

import pytest

from benchmarks.predicted_latency import Row, summary


def test_ranks_and_ratios_are_those_of_the_rows():
    values = [(1.0, 2.0, 30), (2.0, 4.0, 20), (3.0, 3.0, 10)]  # one pair of three is swapped
    rows = [
        Row(path="4", macs=macs, predicted_ms=predicted, measured_ms=measured, is_steady=True)
        for predicted, measured, macs in values
    ]
    known = summary(rows, seed=0)
    assert known["ranks"]["latency table"]["kendall_tau"] == pytest.approx(1 / 3)
    assert known["ranks"]["MACs"]["kendall_tau"] == pytest.approx(-1 / 3)
    assert known["predicted_over_measured"] == [0.5, 0.5, 1.0]
