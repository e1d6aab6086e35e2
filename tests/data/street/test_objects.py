"""Each thing has its class, stands on the ground, and is as large as its distance says."""

from collections.abc import Callable

import numpy as np
import pytest

from autoseg.data.street.canvas import Camera, Canvas
from autoseg.data.street.classes import VOID, StreetClass
from autoseg.data.street.objects import (
    draw_bin,
    draw_bus,
    draw_car,
    draw_crossing_car,
    draw_fence,
    draw_person,
    draw_pole,
    draw_sign,
    draw_tree,
)

CAMERA = Camera(horizon=0.5, vanishing_x=0.9, height=1.6, focal=1.2)
HEIGHT, WIDTH = 120, 216
GROUND = StreetClass.ROAD
GREY = np.full(3, 0.4, np.float32)

Draw = Callable[[Canvas, np.random.Generator, float, float], None]

# class, metres of height (smallest, largest), metres of width at the most
THINGS: dict[str, tuple[Draw, StreetClass, tuple[float, float], float]] = {
    "car": (
        lambda canvas, rng, across, ahead: draw_car(
            canvas, rng, across=across, ahead=ahead, sun=1.0
        ),
        StreetClass.CAR, (1.2, 1.8), 2.5,
    ),
    "crossing car": (
        lambda canvas, rng, across, ahead: draw_crossing_car(
            canvas, rng, across=across, ahead=ahead, sun=1.0
        ),
        StreetClass.CAR, (1.2, 1.8), 4.8,
    ),
    "bus": (
        lambda canvas, rng, across, ahead: draw_bus(
            canvas, rng, across=across, ahead=ahead, sun=1.0
        ),
        StreetClass.BUS, (2.6, 3.4), 3.5,
    ),
    "person": (
        lambda canvas, rng, across, ahead: draw_person(canvas, rng, across=across, ahead=ahead),
        StreetClass.PERSON, (0.9, 2.0), 1.2,
    ),
    "lamp": (
        lambda canvas, rng, across, ahead: draw_pole(
            canvas, rng, across=across, ahead=ahead, top=5.0, colour=GREY
        ),
        StreetClass.POLE, (4.8, 5.3), 2.2,
    ),
    "post": (
        lambda canvas, rng, across, ahead: draw_pole(
            canvas, rng, across=across, ahead=ahead, top=2.5, colour=GREY
        ),
        StreetClass.POLE, (2.3, 2.7), 0.5,
    ),
    "fence": (
        lambda canvas, rng, across, ahead: draw_fence(
            canvas, rng, across=across, near=ahead, length=3.0, sun=1.0
        ),
        StreetClass.FENCE, (1.0, 2.1), 1.0,
    ),
    "tree": (
        lambda canvas, rng, across, ahead: draw_tree(
            canvas, rng, np.zeros((HEIGHT, WIDTH), np.float32), across=across, ahead=ahead,
            colour=GREY,
        ),
        StreetClass.TREE, (1.2, 11.0), 5.0,
    ),
}  # fmt: skip


def _drawn(name: str, seed: int, across: float, ahead: float) -> Canvas:
    """A canvas full of road, white, with one thing on it."""
    canvas = Canvas(HEIGHT, WIDTH, CAMERA)
    canvas.image[:] = 1.0
    canvas.label[:] = GROUND
    THINGS[name][0](canvas, np.random.default_rng(seed), across, ahead)
    return canvas


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.parametrize(("across", "ahead"), [(-1.5, 8.0), (2.5, 14.0), (0.4, 20.0)])
def test_size_and_place_follow_the_distance(name: str, across: float, ahead: float) -> None:
    _, street_class, (lowest, highest), widest = THINGS[name]
    metre = CAMERA.scale(ahead) * HEIGHT  # pixels a metre
    for seed in range(8):
        canvas = _drawn(name, seed, across, ahead)
        assert set(np.unique(canvas.label)) == {GROUND, street_class}
        rows, columns = np.nonzero(canvas.label == street_class)
        # It stands on the ground at its distance: no further than a pixel and a half from it, or,
        # for a body without wheels in sight, 0.3 m.
        foot = CAMERA.row(0, ahead) * HEIGHT
        assert foot - 1.5 - 0.3 * metre <= rows.max() + 1 <= foot + 0.51
        top_of_picture = rows.min() == 0
        tall = (rows.max() + 1 - rows.min()) / metre
        assert tall <= highest + 1.5 / metre
        assert tall >= lowest - 0.3 - 1.5 / metre or top_of_picture
        wide = (columns.max() + 1 - columns.min()) / metre
        assert wide <= widest + 2 / metre
        middle = (0.5 * (columns.max() + 1 + columns.min()) / HEIGHT - CAMERA.vanishing_x) * HEIGHT
        assert abs(middle / metre - across) <= widest / 2 + 1 / metre


@pytest.mark.parametrize("name", THINGS)
def test_looks_differ_and_repeat(name: str) -> None:
    looks = [_drawn(name, seed, -2.0, 8.0).image.tobytes() for seed in (*range(10), *range(10))]
    assert looks[:10] == looks[10:]
    assert len(set(looks)) >= 2


@pytest.mark.parametrize("name", THINGS)
def test_colours_are_finite_and_change_only_near_the_thing(name: str) -> None:
    canvas = _drawn(name, 3, -2.0, 8.0)
    assert np.isfinite(canvas.image).all()
    assert canvas.image.min() >= 0
    # Shadows darken ground beside a vehicle, as wide as the thing and half as much again.
    changed = np.nonzero((canvas.image != 1.0).any(2))[1]
    things = np.nonzero(canvas.label != GROUND)[1]
    reach = 0.5 * (things.max() - things.min()) + 2
    assert changed.min() >= things.min() - reach
    assert changed.max() <= things.max() + reach


@pytest.mark.parametrize("name", THINGS)
def test_what_lies_outside_the_picture_changes_nothing(name: str) -> None:
    canvas = _drawn(name, 0, 300.0, 10.0)
    assert (canvas.label == GROUND).all()
    assert (canvas.image == 1.0).all()


@pytest.mark.parametrize("ahead", [5.0, 15.0, 60.0])
def test_a_pole_is_never_thinner_than_a_pixel(ahead: float) -> None:
    for seed in range(20):
        canvas = _drawn("post", seed, -1.0, ahead)
        is_pole = canvas.label == StreetClass.POLE
        assert is_pole.any(1).sum() >= 2
        assert (is_pole.sum(1)[is_pole.any(1)] >= 1).all()
        rows = np.nonzero(is_pole.any(1))[0]
        assert len(rows) == rows.max() - rows.min() + 1  # without gaps


def test_a_sign_hangs_at_its_height() -> None:
    for seed in range(12):
        canvas = Canvas(HEIGHT, WIDTH, CAMERA)
        draw_sign(canvas, np.random.default_rng(seed), across=1.0, ahead=6.0, up=2.4)
        rows, columns = np.nonzero(canvas.label == StreetClass.SIGN)
        metre = CAMERA.scale(6.0) * HEIGHT
        row, column = CAMERA.row(2.4, 6.0) * HEIGHT, CAMERA.column(1.0, 6.0) * HEIGHT
        # Its plate has a half size of 0.36 to 0.52 m, at most 1.43 times that in one direction.
        assert abs(rows - row + 0.5).max() < 1.45 * 0.52 * metre + 1
        assert abs(columns - column + 0.5).max() < 1.45 * 0.52 * metre + 1
        assert len(rows) > (0.5 * metre) ** 2


def test_a_bin_has_no_class() -> None:
    canvas = Canvas(HEIGHT, WIDTH, CAMERA)
    canvas.label[:] = GROUND
    draw_bin(canvas, np.random.default_rng(0), across=1.0, ahead=6.0)
    assert set(np.unique(canvas.label)) == {GROUND, VOID}


def test_nearer_things_cover_farther_ones() -> None:
    canvas = _drawn("car", 0, 0.0, 12.0)
    hidden = int((canvas.label == StreetClass.CAR).sum())
    draw_bus(canvas, np.random.default_rng(0), across=0.0, ahead=8.0, sun=1.0)
    assert hidden > 50
    assert (canvas.label == StreetClass.CAR).sum() == 0
