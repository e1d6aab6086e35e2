"""The classes of a drawn street, their colours in a label picture, and how they merge."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class StreetClass(IntEnum):
    """What a pixel shows. Every class comes after the one that it merges into."""

    ROAD = 0
    BUILDING = 1
    SKY = 2
    TREE = 3
    CAR = 4
    PAVEMENT = 5
    PERSON = 6
    POLE = 7
    FENCE = 8
    SIGN = 9
    GRASS = 10
    BUS = 11


VOID = 255
"""Drawn, but of no class: rubbish bins, and the bonnet of the car that carries the camera."""

PARENT: dict[StreetClass, StreetClass] = {
    StreetClass.SKY: StreetClass.BUILDING,
    StreetClass.TREE: StreetClass.BUILDING,
    StreetClass.CAR: StreetClass.BUILDING,
    StreetClass.PAVEMENT: StreetClass.ROAD,
    StreetClass.PERSON: StreetClass.CAR,
    StreetClass.POLE: StreetClass.BUILDING,
    StreetClass.FENCE: StreetClass.BUILDING,
    StreetClass.SIGN: StreetClass.POLE,
    StreetClass.GRASS: StreetClass.PAVEMENT,
    StreetClass.BUS: StreetClass.CAR,
}
"""The class that takes a class's pixels when there are too few classes for it; with two classes,
the ground (road) is told from everything that stands on it or lies behind (building)."""

PALETTE: dict[StreetClass, tuple[int, int, int]] = {
    StreetClass.ROAD: (128, 64, 128),
    StreetClass.BUILDING: (110, 70, 60),
    StreetClass.SKY: (120, 180, 230),
    StreetClass.TREE: (30, 110, 50),
    StreetClass.CAR: (0, 40, 170),
    StreetClass.PAVEMENT: (240, 130, 220),
    StreetClass.PERSON: (220, 20, 60),
    StreetClass.POLE: (170, 170, 170),
    StreetClass.FENCE: (200, 150, 90),
    StreetClass.SIGN: (250, 220, 0),
    StreetClass.GRASS: (150, 240, 130),
    StreetClass.BUS: (0, 170, 180),
}
"""Colour of each class in a label picture, RGB."""


def merge_table(num_classes: int) -> NDArray[np.uint8]:
    """Map each drawn label to one of the first `num_classes` classes.

    Args:
        num_classes: K, from 2 to 12. Classes at or above K are replaced by their `PARENT`,
            repeatedly, until they fall below K.

    Returns:
        Table of 256 labels, uint8; `merge_table(K)[label]` is the merged label. VOID stays VOID.
    """
    table = np.full(256, VOID, np.uint8)
    for street_class in StreetClass:
        merged = street_class
        while merged >= num_classes:
            merged = PARENT[merged]
        table[street_class] = merged
    return table
