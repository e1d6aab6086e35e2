import pytest

from autoseg.training.validation import spread_indices


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(10, 5, [0, 2, 4, 6, 8]), (7, 3, [0, 2, 4]), (3, 0, [0, 1, 2]), (3, 9, [0, 1, 2])],
)
def test_indices_are_spread_evenly(length, count, expected):
    assert spread_indices(length, count) == expected
