"""Times against the same ones in seconds."""

import pytest

from autoseg.config import SearchConfig
from autoseg.config.durations import seconds_of
from autoseg.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("0.5s", 0.5), ("2d", 172_800)],
)
def test_times_by_hand(text, seconds):
    assert seconds_of(text, name="budget") == seconds
    assert SearchConfig(budget=text).seconds == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "0s", "1e3s", "10 m", "10M", "1h30m", "٣m"])
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(UsageError, match=r"such as 90s, 10m or 1\.5h\.$") as refused:
        SearchConfig(budget=text)
    assert str(refused.value).startswith(f"budget = {text!r}: it must be a time above 0")


def test_a_search_has_one_end():
    with pytest.raises(UsageError, match="budget = 10m and arch_steps = 5: a search ends by"):
        SearchConfig(budget="10m", arch_steps=5)
