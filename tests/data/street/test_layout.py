"""Streets in which everything has its place."""

import numpy as np

from autoseg.data.street.layout import random_layout


def test_road_pavement_grass_and_houses_follow_each_other() -> None:
    has_grass, has_parking, has_junction = [], [], []
    for seed in range(200):
        layout = random_layout(np.random.default_rng(seed))
        assert [side.sign for side in layout.sides] == [-1, 1]
        for side in layout.sides:
            assert side.kerb <= side.strip <= side.wall
            start, end = side.pavement
            assert end - start >= 1.4  # room for people: at least 1.5 m, up to rounding
            assert (start, end) in ((side.kerb, side.strip), (side.strip, side.wall))
            # The middle of the road lies on the road, even where the camera does not.
            assert side.sign * layout.middle < side.kerb
            assert side.wall >= 2.5
            grass = (side.kerb, side.strip) if side.grass_inside else (side.strip, side.wall)
            has_grass.append(grass[1] - grass[0] > 0.1)
            has_parking.append(side.has_parking)
        assert layout.junction[0] <= layout.junction[1]
        has_junction.append(layout.junction[0] < layout.junction[1])
    for shares in (has_grass, has_parking, has_junction):  # streets differ
        assert 0.15 < np.mean(shares) < 0.85
