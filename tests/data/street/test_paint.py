"""Colours, light and places."""

import colorsys

import numpy as np

from autoseg.data.street.canvas import Camera, Canvas
from autoseg.data.street.paint import any_paint, hsv, shade_faces, upright

CAMERA = Camera(horizon=0.5, vanishing_x=0.7, height=1.5, focal=1.0)


def test_hsv_is_the_standard_conversion() -> None:
    np.testing.assert_allclose(hsv(0.3, 0.4, 0.5), colorsys.hsv_to_rgb(0.3, 0.4, 0.5), rtol=1e-6)
    np.testing.assert_allclose(hsv(1.25, 1, 1), colorsys.hsv_to_rgb(0.25, 1, 1), rtol=1e-6)


def test_any_paint_is_of_any_hue_and_often_grey() -> None:
    rng = np.random.default_rng(0)
    colours = np.array([colorsys.rgb_to_hsv(*any_paint(rng)) for _ in range(400)])
    is_grey = colours[:, 1] <= 0.121
    assert 0.4 < is_grey.mean() < 0.6
    hues, _ = np.histogram(colours[~is_grey, 0], bins=8, range=(0, 1))
    assert hues.min() > 8  # 25 expected in each octave


def test_each_face_of_a_box_has_its_light() -> None:
    surface = Canvas(40, 60, CAMERA).box(
        left=0.3, right=1.2, bottom=0.0, top=0.8, near=3.0, length=2.0
    )
    assert surface is not None
    colour = shade_faces(surface, np.array([0.2, 0.4, 0.6]), side=0.5)
    faces = (surface.is_front, surface.is_top, ~surface.is_front & ~surface.is_top)
    for face, light in zip(faces, (1.0, 1.2, 0.5), strict=True):
        assert (face & surface.mask).any()
        expected = np.broadcast_to(np.array([0.2, 0.4, 0.6]) * light, colour[face].shape)
        np.testing.assert_allclose(colour[face], expected, rtol=1e-6)  # float32 products


def test_upright_measures_metres_from_the_foot() -> None:
    canvas = Canvas(40, 60, CAMERA)
    # 5 m ahead a metre spans 0.2 image heights; the foot is at x = 0.9, y = 0.8.
    x, y, window = upright(canvas, 1.0, 5.0, half=0.5, top=2.0)
    assert window == (slice(16, 32), slice(32, 40))
    np.testing.assert_allclose(x[0], ((np.arange(32, 40) + 0.5) / 40 - 0.9) / 0.2, atol=1e-5)
    np.testing.assert_allclose(y[:, 0], (0.8 - (np.arange(16, 32) + 0.5) / 40) / 0.2, atol=1e-5)
    assert upright(canvas, 50.0, 5.0, half=0.5, top=2.0)[2] is None
