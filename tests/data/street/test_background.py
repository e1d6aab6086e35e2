"""Ground by inverse projection in plain loops; sky, skyline and houses by where they may be."""

import numpy as np
import pytest

from autoseg.data.street.background import draw_ground, draw_house, draw_sky, draw_skyline
from autoseg.data.street.canvas import Camera, Canvas
from autoseg.data.street.classes import VOID, StreetClass
from autoseg.data.street.layout import Layout, Side

CAMERA = Camera(horizon=0.4, vanishing_x=0.68, height=1.5, focal=1.1)
HEIGHT, WIDTH = 30, 41
FLAT = np.zeros((HEIGHT, WIDTH), np.float32)


def _side(sign: int, *, grass_inside: bool) -> Side:
    return Side(
        sign=sign, kerb=2.0, strip=3.5, wall=6.0, grass_inside=grass_inside, has_parking=False,
        sun=1.0,
    )  # fmt: skip


def _layout(junction: tuple[float, float]) -> Layout:
    sides = (_side(-1, grass_inside=True), _side(1, grass_inside=False))
    return Layout(sides=sides, middle=0.3, junction=junction)


def _expected_ground(across: float, ahead: float, junction: tuple[float, float]) -> StreetClass:
    """Read the layout above for one point of the ground, as a person would."""
    if junction[0] < ahead < junction[1] or abs(across) <= 2.0:
        return StreetClass.ROAD
    # Left: 0.18 m of kerbstone, grass, pavement. Right: pavement, grass.
    is_grass = 2.18 <= -across < 3.5 if across < 0 else across >= 3.5
    return StreetClass.GRASS if is_grass else StreetClass.PAVEMENT


@pytest.mark.parametrize("junction", [(9.0, 9.0), (4.0, 7.0)])
def test_ground_is_the_layout_seen_in_perspective(junction: tuple[float, float]) -> None:
    canvas = Canvas(HEIGHT, WIDTH, CAMERA)
    draw_ground(canvas, np.random.default_rng(0), _layout(junction), FLAT, FLAT)
    num_checked = 0
    for row in range(HEIGHT):
        y = (row + 0.5) / HEIGHT
        if y <= CAMERA.horizon:
            assert (canvas.label[row] == VOID).all()
            continue
        scale = (y - CAMERA.horizon) / CAMERA.height
        ahead = CAMERA.focal / scale
        for column in range(WIDTH):
            across = ((column + 0.5) / HEIGHT - CAMERA.vanishing_x) / scale
            edges = (abs(abs(across) - edge) for edge in (2.0, 2.18, 3.5))
            if min(edges) < 1e-4 or min(abs(ahead - edge) for edge in junction) < 1e-4:
                continue  # on an edge: float32 may decide either way
            assert canvas.label[row, column] == _expected_ground(across, ahead, junction)
            assert canvas.scale[row, column] == pytest.approx(scale, rel=1e-4)
            num_checked += 1
    assert num_checked > 600


def test_sky_is_everywhere_and_infinitely_far() -> None:
    canvas = Canvas(HEIGHT, WIDTH, CAMERA)
    haze = draw_sky(canvas, np.random.default_rng(0), FLAT)
    assert (canvas.label == StreetClass.SKY).all()
    assert (canvas.scale == 0).all()
    assert haze.shape == (3,)
    assert canvas.image.min() > 0.2  # daylight


def test_skyline_stands_on_the_far_ground() -> None:
    for seed in range(10):
        canvas = Canvas(HEIGHT, WIDTH, CAMERA)
        draw_skyline(canvas, np.random.default_rng(seed), FLAT + 1, np.full(3, 0.3))
        drawn = canvas.label != VOID
        assert drawn.any()
        assert set(np.unique(canvas.label[drawn])) <= {StreetClass.TREE, StreetClass.BUILDING}
        # At 70 m or more the ground is at most 1.5 * 1.1 / 70 image heights below the horizon.
        assert np.nonzero(drawn)[0].max() < (CAMERA.horizon + 1.5 * 1.1 / 70) * HEIGHT


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_house_stands_on_its_side_behind_the_pavement(sign: int) -> None:
    for seed in range(10):
        canvas = Canvas(HEIGHT, WIDTH, CAMERA)
        side = _side(sign, grass_inside=False)
        draw_house(canvas, np.random.default_rng(seed), FLAT, side, near=5.0, length=8.0)
        drawn = canvas.label == StreetClass.BUILDING
        assert (drawn == (canvas.label != VOID)).all()
        assert drawn.any()
        rows, columns = np.nonzero(drawn)
        x, y = (columns + 0.5) / HEIGHT, (rows + 0.5) / HEIGHT
        # Its nearest line runs 6 m from the axis; its far end at 13 m is the closest to the middle.
        assert (sign * (x - CAMERA.vanishing_x)).min() > 6.0 * CAMERA.focal / 13.0 - 1e-6
        # Between the ground at 5 m and a height of 25 m.
        assert y.max() < CAMERA.row(0, 5.0)
        assert y.min() > CAMERA.row(25.0, 5.0)
        # What is seen lies between 5 and 13 m ahead.
        ahead = CAMERA.focal / canvas.scale[drawn]
        assert ahead.min() > 5.0 * (1 - 1e-5)
        assert ahead.max() < 13.0 * (1 + 1e-5)
