"""Curves of text, drawn by hand and read back from their columns."""

import math

import numpy as np

from autoseg.reporting.text_chart import BLOCKS, PLAIN, text_chart, text_path


def heights(lines):
    """Read the eighths of each column back."""
    marks = [line.partition("|")[2] for line in lines]
    width = max(map(len, marks))
    return [
        sum(BLOCKS.index(row) for row in column)
        for column in zip(*(mark.ljust(width) for mark in marks), strict=True)
    ]


def test_three_values_by_hand():
    # Two lines hold 16 eighths: the least has 1, the middle 1 + 7.5 rounded to even, the most 16.
    assert text_chart([0.0, 5.0, 10.0], width=3, height=2) == ["10 |" + " ▁█", " 0 |" + "▁██"]
    assert text_chart([0.0, 5.0, 10.0], width=3, height=2, has_blocks=False) == [
        "10 | .#",
        " 0 |.##",
    ]
    assert len(BLOCKS) == len(PLAIN) == 9 and PLAIN.isascii()


def test_heights_are_the_values_to_an_eighth():
    values = np.random.default_rng(0).normal(size=40)
    drawn = heights(text_chart(values.tolist(), width=40, height=5))
    shares = (values - values.min()) / np.ptp(values)
    assert np.abs((np.array(drawn) - 1) / 39 - shares).max() <= 0.5 / 39


def test_many_values_are_averaged_and_few_are_wide():
    steps = [float(i // 10) for i in range(600)]  # 60 groups of ten alike
    assert heights(text_chart(steps, width=60)) == heights(text_chart(steps[::10], width=60))
    assert heights(text_chart([1.0, 2.0], width=60)) == [1] * 6 + [40] * 6


def test_gaps_and_what_never_changes():
    assert heights(text_chart([1.0, math.nan, 2.0], width=3)) == [1, 0, 40]
    assert heights(text_chart([3.0, 3.0], width=2)) == [1, 1]
    assert text_chart([math.nan]) == text_chart([]) == []


def test_a_path_by_hand():
    assert text_path([4, 8, 4, 16], [4, 8, 16], has_blocks=False) == [
        " 4 | o . o .",
        " 8 | . o . .",
        "16 | . . . o",
    ]
    assert text_path([4, 8], [4, 8]) == ["4 | ● ·", "8 | · ●"]
