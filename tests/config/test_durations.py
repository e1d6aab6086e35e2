"""Times against the same ones in seconds."""

import re

import pytest

from autoseg.config import SearchConfig
from autoseg.config.durations import nanoseconds_of, seconds_of, short_latency
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


@pytest.mark.parametrize(
    ("text", "nanoseconds"), [("30ms", 30_000_000), ("1.5s", 1_500_000_000), ("0.001us", 1)]
)
def test_a_latency_is_read_exactly(text, nanoseconds):
    assert nanoseconds_of(text, name="max_latency") == nanoseconds


@pytest.mark.parametrize("text", ["30", "0ms", "1m", "30 ms", "-1ms", "0.0001us", "1e3ms", ""])
def test_what_is_no_latency_is_refused(text):
    message = f"max_latency = {text!r}: it must be a time above 0, a number with us, ms or s"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        SearchConfig(max_latency=text)


@pytest.mark.parametrize("nanoseconds", [1, 999, 1000, 1001, 30_000_000, 12_345_678_901])
def test_a_short_latency_is_the_next_microsecond(nanoseconds):
    read = nanoseconds_of(short_latency(nanoseconds), name="max_latency")
    assert nanoseconds <= read < nanoseconds + 1000


def test_a_search_keeps_one_limit():
    with pytest.raises(UsageError, match=r"max_macs = 1G and max_latency = 30ms: a search keeps"):
        SearchConfig(max_macs="1G", max_latency="30ms")
