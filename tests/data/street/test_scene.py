"""A scene as a whole."""

import numpy as np
import pytest

from autoseg.data.street import scene
from autoseg.data.street.classes import VOID, StreetClass
from autoseg.data.street.scene import draw_street


@pytest.mark.parametrize(("height", "width"), [(24, 40), (33, 21)])
def test_a_generator_in_the_same_state_draws_the_same_street(height: int, width: int) -> None:
    image, label = draw_street(np.random.default_rng(4), height=height, width=width)
    again, label_again = draw_street(np.random.default_rng(4), height=height, width=width)
    other, _ = draw_street(np.random.default_rng(5), height=height, width=width)
    assert image.shape == (height, width, 3)
    assert image.dtype == label.dtype == np.uint8
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(label, label_again)
    assert not np.array_equal(image, other)
    assert set(np.unique(label)) <= {*StreetClass, VOID}


def test_classes_lie_where_they_lie_in_the_world() -> None:
    heights: dict[StreetClass, list[float]] = {street_class: [] for street_class in StreetClass}
    for seed in range(40):
        _, label = draw_street(np.random.default_rng(seed), height=48, width=64)
        for street_class, rows in heights.items():
            rows += (np.nonzero(label == street_class)[0] / 48).tolist()
    median = {street_class: np.median(rows) for street_class, rows in heights.items()}
    assert median[StreetClass.SKY] < 0.3
    assert median[StreetClass.BUILDING] < median[StreetClass.CAR]
    assert median[StreetClass.CAR] < median[StreetClass.ROAD]
    for street_class in (StreetClass.ROAD, StreetClass.PAVEMENT, StreetClass.GRASS):
        # Ground lies below the horizon, which is at 0.35 or lower; 48 rows.
        assert min(heights[street_class]) >= 0.35 - 1 / 48
    assert median[StreetClass.SIGN] < median[StreetClass.PERSON]


def test_far_things_are_drawn_first(monkeypatch: pytest.MonkeyPatch) -> None:
    distances: list[float] = []

    def record(*_: object, **place: float) -> None:
        distances.append(place["near"] + place["length"] if "near" in place else place["ahead"])

    for kind in ("car", "crossing_car", "bus", "person", "pole", "sign", "bin", "fence", "tree"):
        monkeypatch.setattr(scene, f"draw_{kind}", record)
    for seed in range(10):
        distances.clear()
        draw_street(np.random.default_rng(seed), height=24, width=32)
        assert len(distances) > 5
        assert distances == sorted(distances, reverse=True)


def test_objects_come_at_many_scales() -> None:
    sizes = []
    for seed in range(40):
        _, label = draw_street(np.random.default_rng(seed), height=96, width=128)
        columns = (label == StreetClass.CAR).any(0)
        if columns.any():
            edges = np.flatnonzero(np.diff(np.concatenate(([False], columns, [False]))))
            sizes += (edges[1::2] - edges[::2]).tolist()
    assert np.quantile(sizes, 0.9) > 4 * np.quantile(sizes, 0.1)


def test_images_are_exposed() -> None:
    for seed in range(20):
        image, _ = draw_street(np.random.default_rng(seed), height=48, width=64)
        assert 40 < image.mean() < 215
        assert ((image == 0) | (image == 255)).mean() < 0.25
