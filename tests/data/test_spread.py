"""Images that stand for a split: evenly spread, and labelled where any are."""

from itertools import pairwise

import pytest

from autoseg.data import build_dataset, labelled_indices, spread_indices
from autoseg.data.spread import NUM_CHECKED, checked_indices
from tests.data.unlabelled import Unlabelled


def dataset(*labelled):
    images = build_dataset("synthetic", split="val", image_size=(24, 32), length=10)
    result = Unlabelled(images, range(10))
    result.labelled = labelled
    return result


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(10, 5, [0, 2, 4, 6, 8]), (7, 3, [0, 2, 4]), (3, 0, [0, 1, 2]), (3, 9, [0, 1, 2])],
)
def test_indices_are_spread_evenly(length, count, expected):
    assert spread_indices(length, count) == expected


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 500, 10_000])
def test_the_labels_checked_are_the_first_the_last_and_some_between(length):
    chosen = checked_indices(length)
    assert chosen == sorted(set(chosen)) == checked_indices(length)
    assert len(chosen) == min(length, NUM_CHECKED)
    assert (chosen[0], chosen[-1]) == (0, length - 1)
    gaps = [after - before for before, after in pairwise(chosen)]
    assert max(gaps, default=0) <= length / max(len(gaps), 1) + 1


@pytest.mark.parametrize("count", [0, 3, 10])
def test_one_image_with_labels_is_enough_to_keep_the_spread(count):
    last = spread_indices(10, count)[-1]
    assert labelled_indices(dataset(last), count) == spread_indices(10, count)


def test_other_images_are_taken_where_the_spread_has_no_labels():
    # 0 and 5 are spread evenly.
    with pytest.warns(
        UserWarning, match="none of the 2 images of the val split .*; 2 of the 4 that"
    ):
        assert labelled_indices(dataset(1, 2, 3, 9), 2) == [1, 3]
    with pytest.warns(UserWarning, match="1 of the 1 that"):
        assert labelled_indices(dataset(7), 2) == [7]


def test_a_split_without_labels_is_told():
    rule = r"no pixel of the val split of synthetic is labelled \(all are \d+, which is left out\)"
    with pytest.warns(UserWarning, match=rule):
        assert labelled_indices(dataset(), 2) == [0, 5]
