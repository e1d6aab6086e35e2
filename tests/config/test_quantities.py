"""Large numbers as they are written."""

import re

import pytest

from autoseg.config import SearchConfig, number_of, short_number
from autoseg.errors import UsageError


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("250M", 250_000_000), ("1.5G", 1_500_000_000), ("0.001k", 1), ("2T", 2 * 10**12)],
)
def test_a_quantity_is_read_exactly(text, number):
    assert number_of(text, name="max_macs") == number


@pytest.mark.parametrize(
    "text", ["0", "0.0G", "1.5", "-1M", "1 G", "1g", "1e9", "", "\u0661M", "G"]
)
def test_what_is_no_quantity_is_refused(text):
    message = f"max_macs = {text!r}: it must be a whole number above 0, such as 250M or 1.5G"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        number_of(text, name="max_macs")


@pytest.mark.parametrize(
    "number", [1, 999, 1000, 1001, 9999, 10_001, 1_234_567, 999_999_999, 10**13]
)
def test_a_short_number_is_read_as_no_less_and_hardly_more(number):
    read = number_of(short_number(number), name="max_macs")
    assert number <= read <= number * 1.001 + 1e-9
    assert short_number(1_234_567) == "1.235M"


def test_a_penalty_needs_weight_and_target():
    with pytest.raises(
        UsageError, match=r"^macs_weight = 0 and macs_target = 1G: the penalty needs"
    ):
        SearchConfig(macs_target="1G")
    with pytest.raises(UsageError, match=r"^macs_weight = 2 and macs_target = none: the penalty"):
        SearchConfig(macs_weight=2.0)
