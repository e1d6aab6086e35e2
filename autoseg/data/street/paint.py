"""Colours, and the ways in which one thing is put on the canvas."""

import colorsys

import numpy as np

from autoseg.data.street.canvas import Canvas, Surface, Window
from autoseg.data.street.noise import FloatArray


def hsv(hue: float, saturation: float, value: float) -> FloatArray:
    """Convert a colour to RGB, float32, (3,); the hue is taken modulo 1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def any_paint(rng: np.random.Generator) -> FloatArray:
    """Draw a colour that says nothing: half of them grey, the rest of any hue."""
    if rng.random() < 0.5:
        return hsv(rng.random(), 0.12 * rng.random(), rng.uniform(0.08, 0.9))
    return hsv(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.15, 0.85))


def shade_faces(surface: Surface, colour: FloatArray, *, side: float) -> FloatArray:
    """Light a box: (3,) -> (h, w, 3); the front as it is, sides by a factor, the top brighter."""
    light = np.where(surface.is_front, 1.0, np.where(surface.is_top, 1.2, side))
    return colour * light[..., None].astype(np.float32)


def upright(
    canvas: Canvas, across: float, ahead: float, *, half: float, top: float
) -> tuple[FloatArray, FloatArray, Window | None]:
    """Find the pixels of a flat thing that faces the camera.

    Args:
        canvas: Where it is to be drawn.
        across: Metres from the camera's axis to its foot.
        ahead: Metres from the camera.
        half: Metres to each side of its foot that matter.
        top: Metres up that matter.

    Returns:
        Metres from the foot to the right, (1, w), and up, (h, 1), at each pixel of a window, and
        the window; None and empty arrays if it lies outside the picture.
    """
    camera = canvas.camera
    scale = camera.scale(ahead)
    column, row = camera.column(across, ahead), camera.row(0, ahead)
    window = canvas.window(column - half * scale, column + half * scale, row - top * scale, row)
    if window is None:
        return np.empty((1, 0), np.float32), np.empty((0, 1), np.float32), None
    x = (canvas.x[:, window[1]] - np.float32(column)) / np.float32(scale)
    y = (np.float32(row) - canvas.y[window[0]]) / np.float32(scale)
    return x, y, window


def plain_box(
    canvas: Canvas,
    label: int,
    colour: FloatArray,
    *,
    across: float,
    half: float,
    bottom: float,
    top: float,
    near: float,
    length: float,
) -> None:
    """Draw a box of one colour from `across - half` to `across + half`; see `Canvas.box`."""
    surface = canvas.box(
        left=across - half, right=across + half, bottom=bottom, top=top, near=near, length=length
    )
    if surface is not None:
        paint_surface(canvas, surface, label, shade_faces(surface, colour, side=0.7))


def paint_surface(canvas: Canvas, surface: Surface, label: int, colour: FloatArray) -> None:
    """Draw the visible part of a box; colour RGB, (3,) or (h, w, 3)."""
    canvas.paint(surface.window, surface.mask, label=label, colour=colour, scale=surface.scale)
