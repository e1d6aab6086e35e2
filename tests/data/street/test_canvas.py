"""Projection against ray casting in three dimensions, pixel by pixel in float64."""

import math
from typing import Any

import numpy as np
import pytest

from autoseg.data.street.canvas import Camera, Canvas, Surface
from autoseg.data.street.classes import VOID

CAMERA = Camera(horizon=0.45, vanishing_x=0.7, height=1.6, focal=1.2)
HEIGHT, WIDTH = 20, 27


def _canvas() -> Canvas:
    return Canvas(HEIGHT, WIDTH, CAMERA)


def _ray(row: int, column: int) -> tuple[float, float]:
    """Metres to the right and up that the ray through a pixel gains for each metre ahead."""
    x, y = (column + 0.5) / HEIGHT, (row + 0.5) / HEIGHT
    return (x - CAMERA.vanishing_x) / CAMERA.focal, (CAMERA.horizon - y) / CAMERA.focal


def _distance_along(row: int, column: int, box: dict[str, float]) -> tuple[float, float]:
    """Metres ahead at which the ray enters the box, and how clearly it hits (< 0: it misses)."""
    right, up = _ray(row, column)
    enter, leave = box["near"], box["near"] + box["length"]
    for direction, lowest, highest in (
        (right, box["left"], box["right"]),
        (up, box["bottom"] - CAMERA.height, box["top"] - CAMERA.height),
    ):
        if abs(direction) < 1e-12:
            if not lowest <= 0 <= highest:
                return math.nan, -math.inf
            continue
        bounds = sorted((lowest / direction, highest / direction))
        enter, leave = max(enter, bounds[0]), min(leave, bounds[1])
    return enter, leave - enter


BOXES = [
    {"left": -2.0, "right": -0.5, "bottom": 0.0, "top": 1.2, "near": 3.0, "length": 4.0},
    {"left": 0.4, "right": 1.9, "bottom": 0.3, "top": 3.0, "near": 4.0, "length": 9.0},
    {"left": -1.0, "right": 1.0, "bottom": 0.0, "top": 1.0, "near": 5.0, "length": 1.0},
    {"left": 2.0, "right": 9.0, "bottom": 0.0, "top": 12.0, "near": 0.8, "length": 30.0},
    {"left": 0.0, "right": 2.0, "bottom": 2.0, "top": 2.5, "near": 2.0, "length": 3.0},
    {"left": -3.0, "right": 0.0, "bottom": 0.0, "top": 1.6, "near": 6.0, "length": 2.0},
]


@pytest.mark.parametrize("box", BOXES)
def test_box_is_what_rays_hit(box: dict[str, float]) -> None:
    canvas = _canvas()
    surface = canvas.box(**box)
    assert surface is not None
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[surface.window] = surface.mask
    num_hits = 0
    for row in range(HEIGHT):
        for column in range(WIDTH):
            ahead, clearness = _distance_along(row, column, box)
            if abs(clearness) < 1e-3:  # grazes an edge: float32 may decide either way
                continue
            assert mask[row, column] == (clearness > 0)
            if clearness > 0:
                _check_surface(surface, row, column, box, ahead)
                num_hits += 1
    assert num_hits >= 5


def _check_surface(
    surface: Surface, row: int, column: int, box: dict[str, float], ahead: float
) -> None:
    rows, columns = surface.window
    place = (row - rows.start, column - columns.start)
    right, up = _ray(row, column)
    # float32 against float64: relative errors of some 2**-24, times the division by a small angle.
    assert surface.scale[place] == pytest.approx(CAMERA.focal / ahead, rel=1e-4)
    assert surface.up[place] == pytest.approx(CAMERA.height + up * ahead, abs=1e-3)
    is_front = ahead < box["near"] * (1 + 1e-9)
    assert surface.is_front[place] == is_front
    expected = right * ahead if is_front else ahead
    assert surface.along[place] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    on_top = not is_front and abs(CAMERA.height + up * ahead - box["top"]) < 1e-9
    assert surface.is_top[place] == on_top


def test_a_box_outside_the_picture_is_not_seen() -> None:
    box: dict[str, Any] = {"bottom": 0, "top": 1, "near": 2, "length": 1}
    assert _canvas().box(left=50, right=51, **box) is None
    assert _canvas().box(left=-51, right=-50, **box) is None


def test_camera_is_a_pinhole() -> None:
    # 2 m to the right, 1 m up, 3 m ahead: one metre spans 1.2 / 3 = 0.4 image heights.
    assert CAMERA.scale(3) == pytest.approx(0.4)
    assert CAMERA.column(2, 3) == pytest.approx(0.7 + 2 * 0.4)
    assert CAMERA.row(1, 3) == pytest.approx(0.45 + 0.6 * 0.4)


@pytest.mark.parametrize(
    "lines", [(0.1, 0.5, 0.2, 0.6), (-3.0, 0.2, 0.7, 9.0), (0.52, 0.53, 0.0, 1.0)]
)
def test_a_window_holds_every_centre_between_the_lines(
    lines: tuple[float, float, float, float],
) -> None:
    canvas = _canvas()
    left, right, top, bottom = lines
    window = canvas.window(*lines)
    assert window is not None
    inside = (canvas.x >= left) & (canvas.x <= right) & (canvas.y >= top) & (canvas.y <= bottom)
    outside = inside.copy()
    outside[window] = False
    assert not outside.any()
    # No row and no column more than needed.
    assert (window[0].stop - window[0].start) == inside.any(1).sum()
    assert (window[1].stop - window[1].start) == inside.any(0).sum()


@pytest.mark.parametrize("lines", [(-2, -1, 0, 1), (2, 3, 0, 1), (0, 1, -2, -1), (0, 1, 2, 3)])
def test_lines_outside_the_picture_have_no_window(lines: tuple[int, int, int, int]) -> None:
    assert _canvas().window(*lines) is None


def test_paint_covers_the_mask_alone() -> None:
    canvas = _canvas()
    window = (slice(2, 5), slice(3, 7))
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    canvas.paint(window, mask, label=4, colour=np.array([0.1, 0.2, 0.3]), scale=0.5)
    assert canvas.label[3, 5] == 4
    np.testing.assert_allclose(canvas.image[3, 5], [0.1, 0.2, 0.3], rtol=1e-6)
    assert canvas.scale[3, 5] == 0.5
    assert (canvas.label == VOID).sum() == HEIGHT * WIDTH - 1
    assert np.count_nonzero(canvas.image) == 3
