"""Merging of classes, worked by hand."""

import numpy as np

from autoseg.data.street.classes import PALETTE, PARENT, VOID, StreetClass, merge_table


def test_two_classes_tell_the_ground_from_the_rest() -> None:
    table = merge_table(2)
    ground = {StreetClass.ROAD, StreetClass.PAVEMENT, StreetClass.GRASS}
    for street_class in StreetClass:
        assert table[street_class] == (0 if street_class in ground else 1)


def test_nine_classes_by_hand() -> None:
    # 0 to 8 stay; a sign (9) becomes a pole (7), grass (10) pavement (5), a bus (11) a car (4).
    np.testing.assert_array_equal(merge_table(9)[:12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 7, 5, 4])


def test_twelve_classes_stay_as_they_are() -> None:
    np.testing.assert_array_equal(merge_table(12)[:12], np.arange(12))


def test_void_is_never_merged() -> None:
    assert all(merge_table(num_classes)[VOID] == VOID for num_classes in range(2, 13))


def test_parents_come_before_their_children_and_colours_differ() -> None:
    assert set(PARENT) == set(StreetClass) - {StreetClass.ROAD, StreetClass.BUILDING}
    assert all(parent < child for child, parent in PARENT.items())
    assert set(PALETTE) == set(StreetClass)
    assert len(set(PALETTE.values())) == len(StreetClass)
