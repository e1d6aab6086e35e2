"""What lies behind and below the things in a street: sky, skyline, ground and houses."""

import numpy as np

from autoseg.data.street.canvas import BoolArray, Canvas, Surface
from autoseg.data.street.classes import StreetClass
from autoseg.data.street.layout import Layout, Side
from autoseg.data.street.noise import FloatArray
from autoseg.data.street.paint import any_paint, hsv, shade_faces


def draw_sky(canvas: Canvas, rng: np.random.Generator, clouds: FloatArray) -> FloatArray:
    """Fill the picture with sky, clear or overcast.

    Args:
        canvas: Painted in place.
        rng: Decides the weather.
        clouds: Noise, (height, width) of the canvas, in [-1, 1].

    Returns:
        The colour at the horizon, (3,): that of the haze.
    """
    if rng.random() < 0.45:  # clear
        zenith = hsv(rng.uniform(0.54, 0.62), rng.uniform(0.3, 0.7), rng.uniform(0.6, 0.95))
        cover = rng.uniform(0.0, 0.8)
    else:
        zenith = hsv(rng.random(), rng.uniform(0.0, 0.08), rng.uniform(0.5, 0.9))
        cover = rng.uniform(0.4, 1.0)
    warm = hsv(rng.uniform(0.05, 0.15), rng.uniform(0.0, 0.25), rng.uniform(0.75, 0.95))
    horizon = 0.6 * warm + 0.4 * zenith
    height = np.clip(canvas.y / canvas.camera.horizon, 0, 1)[..., None]
    colour = zenith + (horizon - zenith) * height
    cloud = np.clip(cover * (clouds + 0.3) * 1.5, 0, 1)[..., None]
    colour = colour + (np.float32(rng.uniform(0.75, 0.95)) - colour) * cloud
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    canvas.paint(
        everywhere,
        np.ones((canvas.height, canvas.width), np.bool_),
        label=StreetClass.SKY,
        colour=colour,
        scale=0.0,
    )
    return horizon


def draw_skyline(
    canvas: Canvas, rng: np.random.Generator, leaves: FloatArray, foliage: FloatArray
) -> None:
    """Close the far end of the street with trees and houses.

    Args:
        canvas: Painted in place.
        rng: Decides their heights.
        leaves: Noise, (height, width) of the canvas, in [-1, 1].
        foliage: RGB of the trees, (3,).
    """
    camera = canvas.camera
    scale = camera.scale(rng.uniform(70, 120))
    y, x = canvas.y, canvas.x
    everywhere = (slice(0, canvas.height), slice(0, canvas.width))
    level = camera.horizon + camera.height * scale
    edges = np.cumsum(rng.uniform(6, 22, 64)) * scale  # where one far house ends, image heights
    house = np.searchsorted(edges, x[0])
    tall = rng.uniform(-4, 16, 65)[house] * scale
    walls = hsv(rng.uniform(0, 0.15), 0.15, 1.0) * rng.uniform(0.3, 0.75, (65, 1))[house]
    windows = 1 - 0.2 * (np.mod(x / scale, 3) < 1.5) * (np.mod(y / scale, 3) < 1.5)
    canvas.paint(
        everywhere,
        (y > level - tall) & (y < level),
        label=StreetClass.BUILDING,
        colour=(walls * windows[..., None]).astype(np.float32),
        scale=scale,
    )
    crowns = (rng.uniform(1, 6) + 7 * leaves) * scale
    canvas.paint(
        everywhere,
        (y > level - crowns) & (y < level),
        label=StreetClass.TREE,
        colour=foliage * (0.85 + 0.5 * leaves)[..., None],
        scale=scale,
    )


def draw_ground(
    canvas: Canvas,
    rng: np.random.Generator,
    layout: Layout,
    fine: FloatArray,
    coarse: FloatArray,
) -> None:
    """Draw road, pavements and grass below the horizon.

    Args:
        canvas: Painted in place.
        rng: Decides colours and markings.
        layout: Where what lies.
        fine: Noise of the size of grains, (height, width) of the canvas, in [-1, 1].
        coarse: Noise of the size of stains, likewise.
    """
    camera = canvas.camera
    first = int(np.searchsorted(canvas.y[:, 0], camera.horizon + 1e-4))
    window = (slice(first, canvas.height), slice(0, canvas.width))
    scale = (canvas.y[window[0]] - np.float32(camera.horizon)) / np.float32(camera.height)
    across = (canvas.x - np.float32(camera.vanishing_x)) / scale  # metres, (h, w)
    ahead = np.float32(camera.focal) / scale  # metres, (h, 1)
    grain, stain = fine[window], coarse[window]
    crossing = (ahead > layout.junction[0]) & (ahead < layout.junction[1])

    asphalt = hsv(rng.random(), 0.1 * rng.random(), rng.uniform(0.22, 0.6))
    road = asphalt * (1 + 0.12 * grain + 0.16 * stain)[..., None]
    _mark_road(road, rng, layout, across, ahead, crossing)
    canvas.paint(
        window, np.ones_like(grain, np.bool_), label=StreetClass.ROAD, colour=road, scale=scale
    )

    stone = hsv(rng.uniform(0.0, 0.14), rng.uniform(0.0, 0.2), rng.uniform(0.28, 0.7))
    slab = rng.uniform(0.5, 1.5)  # metres
    joint = (np.mod(across, slab) < 0.1 * slab) | (np.mod(ahead, slab) < 0.1 * slab)
    contrast = 0.3 * np.clip(scale * slab * canvas.height / 6, 0, 1)
    paving = stone * ((1 + 0.1 * grain + 0.08 * stain) * (1 - contrast * joint))[..., None]
    meadow = hsv(rng.uniform(0.14, 0.34), rng.uniform(0.2, 0.65), rng.uniform(0.25, 0.6))
    grass = meadow * (1 + 0.45 * grain + 0.2 * stain)[..., None]
    for side in layout.sides:
        out = side.sign * across
        beside = (out > side.kerb) & ~crossing
        is_grass = (out < side.strip) if side.grass_inside else (out >= side.strip)
        for mask, label, colour in (
            (beside & is_grass, StreetClass.GRASS, grass),
            (beside & ~is_grass, StreetClass.PAVEMENT, paving),
            (beside & (out < side.kerb + 0.18), StreetClass.PAVEMENT, stone * np.float32(1.2)),
        ):
            canvas.paint(window, mask, label=label, colour=colour, scale=scale)


def draw_house(
    canvas: Canvas,
    rng: np.random.Generator,
    fine: FloatArray,
    side: Side,
    *,
    near: float,
    length: float,
) -> None:
    """Draw one house: a box with windows in one of several manners, and a storey of shops.

    Args:
        canvas: Painted in place.
        rng: Decides height, colour and windows.
        fine: Noise, (height, width) of the canvas, in [-1, 1].
        side: The side of the street it stands on.
        near: Metres to its near corner.
        length: Metres along the street.
    """
    top = rng.uniform(4, 9) if rng.random() < 0.45 else rng.uniform(9, 25)
    inner, outer = side.wall + rng.uniform(0, 1.5), side.wall + rng.uniform(8, 25)
    left, right = sorted((side.sign * inner, side.sign * outer))
    surface = canvas.box(left=left, right=right, bottom=0, top=top, near=near, length=length)
    if surface is None:
        return
    wall = hsv(rng.uniform(0, 0.16), rng.uniform(0.0, 0.55), rng.uniform(0.25, 0.9))
    if rng.random() < 0.4:
        wall = hsv(rng.random(), 0.12 * rng.random(), rng.uniform(0.2, 0.9))
    colour = shade_faces(surface, wall, side=side.sun)
    colour *= (1 + 0.08 * fine[surface.window])[..., None]
    _add_windows(colour, surface, canvas, rng, inner=inner, top=top)
    canvas.paint(
        surface.window,
        surface.mask,
        label=StreetClass.BUILDING,
        colour=colour,
        scale=surface.scale,
    )


def _add_windows(
    colour: FloatArray,
    surface: Surface,
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    inner: float,
    top: float,
) -> None:
    """Darken or brighten the panes of a house; fade them out where they shrink below a pixel."""
    storey, period = rng.uniform(2.6, 3.6), rng.uniform(1.6, 3.6)
    wide, tall = rng.uniform(0.3, 0.75), rng.uniform(0.35, 0.65)
    if rng.random() < 0.2:
        wide = 1.0  # bands of glass
    column, row = surface.along / period, surface.up / storey
    pane = (np.abs(np.mod(column, 1) - 0.5) < wide / 2) & (np.abs(np.mod(row, 1) - 0.5) < tall / 2)
    pane &= surface.up < top - 0.25 * storey
    # Each pane reflects something else: a cheap hash of its place.
    place = np.floor(column) * 0.618 + np.floor(row) * 0.755
    bright = np.mod(place * 7.13, 1).astype(np.float32) * rng.uniform(0.0, 0.9)
    glass = hsv(rng.uniform(0.5, 0.65), 0.3 * rng.random(), 1.0) * (0.08 + 0.7 * bright)[..., None]
    front = surface.scale * canvas.height  # pixels a metre
    side = inner * surface.scale**2 / canvas.camera.focal * canvas.height
    per_metre = np.where(surface.is_front, front, side)
    strength = np.clip(per_metre * period / 3 - 0.3, 0, 1) * pane
    if rng.random() < 0.35:  # shops: one long pane and a coloured board
        shop = (surface.up > 0.5) & (surface.up < 2.4)
        strength = np.where(surface.up < storey, 0.8 * shop, strength)
        board = (surface.up > 2.5) & (surface.up < 3.1)
        colour[board] = any_paint(rng)
    colour += (glass - colour) * strength[..., None]
    colour[surface.up > top - 0.25] *= 0.75  # the edge of the roof


def _mark_road(
    road: FloatArray,
    rng: np.random.Generator,
    layout: Layout,
    across: FloatArray,
    ahead: FloatArray,
    crossing: BoolArray,
) -> None:
    """Paint lines, a zebra crossing and repaired patches onto the road's colours."""
    patch = np.mod(np.floor(across / 1.7) * 0.618 + np.floor(ahead / 5) * 0.755, 1) < 0.15
    road[patch] *= rng.uniform(0.7, 1.15)
    paint = np.float32(rng.uniform(0.65, 0.95))
    left, right = layout.sides
    lines = (np.abs(across - layout.middle) < 0.09) & (np.mod(ahead, 6) < 3.5)
    if rng.random() < 0.5:
        lines |= (np.abs(across + left.kerb - 0.4) < 0.06) | (
            np.abs(across - right.kerb + 0.4) < 0.06
        )
    road[lines & ~crossing] = paint
    if rng.random() < 0.35:
        start = rng.uniform(4, 14)
        zebra = (ahead > start) & (ahead < start + 2.5) & (np.mod(across, 1.0) < 0.5)
        road[zebra & (across > -left.kerb) & (across < right.kerb)] = paint
