"""What stands on the ground of a street: vehicles, people, poles, signs, fences, trees.

Each function draws one thing at one place, with looks drawn from the generator. Colours overlap
on purpose: a coat, a car, a bus and a sign may have any hue, poles and fences are as grey or brown
as trunks and walls. Shape, size and place tell them apart.
"""

import numpy as np

from autoseg.data.street.canvas import Canvas
from autoseg.data.street.classes import VOID, StreetClass
from autoseg.data.street.noise import FloatArray
from autoseg.data.street.paint import any_paint, hsv, paint_surface, plain_box, shade_faces, upright

_GLASS = np.array([0.10, 0.12, 0.15], np.float32)
_RUBBER = np.array([0.07, 0.07, 0.08], np.float32)


def draw_car(
    canvas: Canvas, rng: np.random.Generator, *, across: float, ahead: float, sun: float
) -> None:
    """Draw a car that is seen from behind or from the front.

    Args:
        canvas: Painted in place.
        rng: Decides paint, size and lights.
        across: Metres from the camera's axis to the car's middle.
        ahead: Metres to its near end.
        sun: Factor on the light of its visible side.
    """
    half = rng.uniform(0.82, 0.98)
    waist, roof = rng.uniform(0.75, 0.95), rng.uniform(1.35, 1.75)
    paint = any_paint(rng)
    _shadow(canvas, across=across, half=half + 0.15, near=ahead - 0.2, far=ahead + 4.4)
    for side in (-1, 1):
        for axle in (3.2, 0.5):
            tyre = across + side * (half - 0.13)
            plain_box(
                canvas, StreetClass.CAR, _RUBBER, across=tyre, half=0.12, bottom=0, top=0.6,
                near=ahead + axle, length=0.6,
            )  # fmt: skip
    body = canvas.box(
        left=across - half, right=across + half, bottom=0.22, top=waist, near=ahead, length=4.2
    )
    if body is not None:
        colour = shade_faces(body, paint, side=0.75 * sun)
        offset = np.abs(body.along - across)
        lamp = body.is_front & (np.abs(offset - half + 0.2) < 0.14) & (np.abs(body.up - 0.62) < 0.1)
        colour[lamp] = hsv(0.0, 0.8, 0.75) if rng.random() < 0.6 else hsv(0.14, 0.15, 0.95)
        plate = body.is_front & (offset < 0.27) & (np.abs(body.up - 0.45) < 0.07)
        colour[plate] = hsv(0.14, 0.3 * rng.random(), 0.85)
        colour[body.is_front & (body.up < 0.33)] *= 0.45
        paint_surface(canvas, body, StreetClass.CAR, colour)
    cabin = canvas.box(
        left=across - half + 0.12, right=across + half - 0.12, bottom=waist, top=roof,
        near=ahead + rng.uniform(0.1, 0.9), length=2.4,
    )  # fmt: skip
    if cabin is not None:
        colour = shade_faces(cabin, paint, side=0.75 * sun)
        window = (cabin.up > waist + 0.06) & (cabin.up < roof - 0.1) & ~cabin.is_top
        window &= ~cabin.is_front | (np.abs(cabin.along - across) < half - 0.22)
        colour[window] = _GLASS + 0.25 * rng.random()
        paint_surface(canvas, cabin, StreetClass.CAR, colour)


def draw_crossing_car(
    canvas: Canvas, rng: np.random.Generator, *, across: float, ahead: float, sun: float
) -> None:
    """Draw a car that crosses the street, seen from its side; arguments as `draw_car`."""
    half = rng.uniform(1.9, 2.3)
    waist, roof = rng.uniform(0.8, 0.95), rng.uniform(1.4, 1.8)
    paint = any_paint(rng) * np.float32(sun)
    _shadow(canvas, across=across, half=half, near=ahead - 0.2, far=ahead + 1.9)
    cabin_shift = rng.uniform(-0.4, 0.4)
    cabin = canvas.box(
        left=across + cabin_shift - 0.6 * half, right=across + cabin_shift + 0.6 * half,
        bottom=waist - 0.05, top=roof, near=ahead + 0.1, length=1.5,
    )  # fmt: skip
    if cabin is not None:
        colour = shade_faces(cabin, paint, side=0.8)
        offset = np.abs(cabin.along - across - cabin_shift)
        slope = 0.6 * half - 0.5 * (cabin.up - waist)  # windscreens lean
        window = (
            cabin.is_front & (cabin.up < roof - 0.12) & (offset < slope - 0.1) & (offset > 0.06)
        )
        colour[window] = _GLASS + 0.25 * rng.random()
        mask = cabin.mask & ((offset < slope) | ~cabin.is_front)
        canvas.paint(cabin.window, mask, label=StreetClass.CAR, colour=colour, scale=cabin.scale)
    body = canvas.box(
        left=across - half, right=across + half, bottom=0.0, top=waist, near=ahead, length=1.7
    )
    if body is not None:
        colour = shade_faces(body, paint, side=0.8)
        to_axle = np.abs(np.abs(body.along - across) - 0.62 * half)
        wheel = body.is_front & (to_axle**2 + (body.up - 0.32) ** 2 < 0.32**2)
        colour[wheel] = _RUBBER
        mask = body.mask & ((body.up > 0.22) | wheel)
        canvas.paint(body.window, mask, label=StreetClass.CAR, colour=colour, scale=body.scale)


def draw_bus(
    canvas: Canvas, rng: np.random.Generator, *, across: float, ahead: float, sun: float
) -> None:
    """Draw a bus along the street: a box with windows like a house's; arguments as `draw_car`."""
    half, roof = rng.uniform(1.2, 1.3), rng.uniform(2.8, 3.3)
    _shadow(canvas, across=across, half=half + 0.1, near=ahead - 0.2, far=ahead + 9.2)
    for side in (-1, 1):
        for axle in (6.5, 1.2):
            plain_box(
                canvas, StreetClass.BUS, _RUBBER, across=across + side * (half - 0.15), half=0.15,
                bottom=0, top=0.8, near=ahead + axle, length=0.9,
            )  # fmt: skip
    body = canvas.box(
        left=across - half, right=across + half, bottom=0.3, top=roof, near=ahead, length=9
    )
    if body is None:
        return
    colour = shade_faces(body, any_paint(rng), side=0.8 * sun)
    stripe = np.abs(body.up - rng.uniform(0.7, 1.1)) < 0.15
    colour[stripe] = any_paint(rng)
    offset = np.abs(body.along - across)
    pane = np.where(body.is_front, offset < half - 0.12, np.mod(body.along - ahead, 1.5) > 0.2)
    window = pane & (body.up > 1.35) & (body.up < 2.35) & ~body.is_top
    colour[window] = _GLASS + 0.35 * rng.random()
    board = body.is_front & (offset < 0.7) & (body.up > 2.5) & (body.up < roof - 0.15)
    colour[board] = hsv(0.1, 0.7 * rng.random(), 0.9)
    lamp = body.is_front & (np.abs(offset - half + 0.25) < 0.15) & (np.abs(body.up - 0.75) < 0.12)
    colour[lamp] = hsv(0.0, 0.8, 0.7)
    paint_surface(canvas, body, StreetClass.BUS, colour)


def draw_person(canvas: Canvas, rng: np.random.Generator, *, across: float, ahead: float) -> None:
    """Draw a person who stands or walks, in clothes of any colour.

    Args:
        canvas: Painted in place.
        rng: Decides height, stride and clothes.
        across: Metres from the camera's axis.
        ahead: Metres from the camera.
    """
    tall = rng.uniform(0.9, 1.1) if rng.random() < 0.8 else rng.uniform(0.6, 0.8)
    scale = canvas.camera.scale(ahead)
    # x, y: metres from the feet, in units of an average adult
    x, y, window = upright(canvas, across, ahead, half=0.5 * tall, top=1.85 * tall)
    if window is None:
        return
    x, y = x / np.float32(tall), y / np.float32(tall)
    stride = rng.uniform(0.0, 0.28)
    foot = 0.07 + stride * np.clip(0.85 - y, 0, 1)
    legs = (np.abs(np.abs(x) - foot) < 0.09) & (y > 0) & (y < 0.9)
    coat = rng.uniform(0.55, 0.85)  # where the upper garment ends
    torso = (np.abs(x) < 0.17 + 0.07 * (y - 0.8)) & (y > coat) & (y < 1.45)
    swing = rng.uniform(0.0, 0.2)
    arms = np.abs(np.abs(x) - 0.23 - swing * (1.4 - y)) < 0.06
    arms &= (y > 0.75) & (y < 1.43)
    head = x**2 + ((y - 1.62) * 0.85) ** 2 < 0.125**2
    skin = hsv(rng.uniform(0.03, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.95))
    hair = hsv(rng.uniform(0.02, 0.12), rng.uniform(0.2, 0.7), rng.uniform(0.05, 0.6))
    coat_colour, leg_colour = any_paint(rng), any_paint(rng) * np.float32(0.7)
    for mask, colour in ((legs, leg_colour), (torso | arms, coat_colour), (head, skin)):
        canvas.paint(window, mask, label=StreetClass.PERSON, colour=colour, scale=scale)
    canvas.paint(window, head & (y > 1.64), label=StreetClass.PERSON, colour=hair, scale=scale)


def draw_pole(
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    across: float,
    ahead: float,
    top: float,
    colour: FloatArray,
) -> None:
    """Draw a lamp post, or the post of a sign: never thinner than about a pixel.

    Args:
        canvas: Painted in place.
        rng: Decides thickness and lamp.
        across: Metres from the camera's axis.
        ahead: Metres from the camera.
        top: Height in metres; from 4 m on it carries a lamp that reaches over the street.
        colour: RGB in [0, 1], (3,).
    """
    scale = canvas.camera.scale(ahead)
    pixel = 1 / (canvas.height * scale)  # metres a pixel
    half = max(rng.uniform(0.07, 0.12), 0.7 * pixel)
    reach = rng.uniform(0.8, 1.8) if top >= 4 else 0.0
    x, y, window = upright(canvas, across, ahead, half=half + reach, top=top + half)
    if window is None:
        return
    inward = -np.sign(across) * x  # towards the middle of the street
    post = (np.abs(x) < half) & (y > 0) & (y < top)
    arm = (inward > 0) & (inward < reach) & (np.abs(y - top) < max(0.06, 0.7 * pixel))
    lit = np.where(x < 0, 1.0, 0.75)[..., None].astype(np.float32)
    canvas.paint(window, post | arm, label=StreetClass.POLE, colour=colour * lit, scale=scale)


def draw_sign(
    canvas: Canvas, rng: np.random.Generator, *, across: float, ahead: float, up: float
) -> None:
    """Draw the plate of a traffic sign: a disc, a triangle or a board, with a rim and a mark.

    Args:
        canvas: Painted in place.
        rng: Decides shape and colours.
        across: Metres from the camera's axis.
        ahead: Metres from the camera.
        up: Metres from the ground to the middle of the plate.
    """
    half = rng.uniform(0.36, 0.52)
    shape = rng.integers(4)
    x, y, window = upright(canvas, across, ahead, half=1.4 * half, top=up + 1.4 * half)
    if window is None:
        return
    y = y - np.float32(up)
    if shape == 0:
        distance = np.sqrt(x**2 + y**2)
    elif shape == 1:  # triangle that points up
        distance = np.maximum(np.abs(x) + 0.5 * (y - 0.2 * half), -1.2 * y)
    elif shape == 2:  # square on its corner
        distance = 0.75 * (np.abs(x) + np.abs(y))
    else:  # board
        distance = np.maximum(np.abs(x) * rng.uniform(0.7, 1.2), np.abs(y) * rng.uniform(0.7, 1.4))
    face, rim, mark = any_paint(rng), any_paint(rng), any_paint(rng)
    if rng.random() < 0.75:
        rim = hsv(rng.choice((0.0, 0.12, 0.6)), rng.uniform(0.6, 0.95), rng.uniform(0.5, 0.9))
    scale = canvas.camera.scale(ahead)
    for mask, colour in (
        (distance < half, rim),
        (distance < 0.75 * half, face),
        ((np.abs(x) < 0.15 * half) & (np.abs(y) < 0.4 * half), mark),
    ):
        canvas.paint(window, mask, label=StreetClass.SIGN, colour=colour, scale=scale)


def draw_fence(
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    across: float,
    near: float,
    length: float,
    sun: float,
) -> None:
    """Draw a fence along the street: slats on a backing of the same material.

    Args:
        canvas: Painted in place.
        rng: Decides height, colour and slats.
        across: Metres from the camera's axis.
        near: Metres to its near end.
        length: Metres.
        sun: Factor on its light.
    """
    top = rng.uniform(1.1, 2.0)
    surface = canvas.box(
        left=across - 0.05, right=across + 0.05, bottom=0, top=top, near=near, length=length
    )
    if surface is None:
        return
    brown = hsv(rng.uniform(0.05, 0.12), rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.65))
    material = (brown, hsv(0, 0, rng.uniform(0.15, 0.85)))[rng.integers(2)]
    # On the side a slat's pixels shrink with the angle as well as with the distance.
    per_metre = abs(across) * surface.scale**2 / canvas.camera.focal * canvas.height
    period = rng.uniform(0.3, 0.7)
    contrast = np.clip(per_metre * period / 3, 0, 1) * rng.uniform(0.3, 0.6)
    gap = np.mod(surface.along, period) < 0.4 * period
    rail = np.abs(surface.up / top - 0.75) < 0.08
    light = sun * (1 - contrast * (gap & ~rail))
    paint_surface(canvas, surface, StreetClass.FENCE, material * light[..., None])


def draw_tree(
    canvas: Canvas,
    rng: np.random.Generator,
    leaves: FloatArray,
    *,
    across: float,
    ahead: float,
    colour: FloatArray,
) -> None:
    """Draw a tree, a conifer or a bush; its outline is ragged.

    Args:
        canvas: Painted in place.
        rng: Decides kind and size.
        leaves: Noise for outline and foliage, (height, width) of the canvas, in [-1, 1].
        across: Metres from the camera's axis.
        ahead: Metres from the camera.
        colour: RGB of the foliage in [0, 1], (3,).
    """
    kind = rng.integers(5)
    wide, tall = rng.uniform(1.1, 2.4), rng.uniform(1.4, 2.8)
    trunk = rng.uniform(1.6, 2.8)
    if kind == 0:  # bush
        wide, tall, trunk = wide * 0.7, 0.75, 0.0
    scale = canvas.camera.scale(ahead)
    x, y, window = upright(canvas, across, ahead, half=1.5 * wide, top=trunk + 3 * tall)
    if window is None:
        return
    thick = max(rng.uniform(0.1, 0.22), 0.55 / (canvas.height * scale))
    bark = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.1, 0.45), rng.uniform(0.12, 0.4))
    stem = (np.abs(x) < thick) & (y > 0) & (y < trunk + 0.5 * tall)
    canvas.paint(window, stem, label=StreetClass.TREE, colour=bark, scale=scale)
    ragged = leaves[window]
    middle = trunk + 0.8 * tall
    if kind == 1:  # conifer
        distance = np.abs(x) / wide + (y - trunk) / (2.6 * tall) + 0.25 * ragged
        crown = (distance < 1) & (y > 0.5 * trunk)
    else:
        distance = (x / wide) ** 2 + ((y - middle) / tall) ** 2 + 0.6 * ragged
        crown = (distance < 1) & (y > 0)
    lit = 0.85 + 0.25 * (y - middle) / tall - 0.15 * x / wide + 0.7 * ragged
    light = np.clip(lit, 0.25, 1.6)[..., None].astype(np.float32)
    canvas.paint(window, crown, label=StreetClass.TREE, colour=colour * light, scale=scale)


def draw_bin(canvas: Canvas, rng: np.random.Generator, *, across: float, ahead: float) -> None:
    """Draw a rubbish bin, which belongs to no class; arguments as `draw_person`."""
    plain_box(
        canvas, VOID, any_paint(rng) * np.float32(0.6), across=across, half=0.35, bottom=0,
        top=1.1, near=ahead, length=0.7,
    )  # fmt: skip


def _shadow(canvas: Canvas, *, across: float, half: float, near: float, far: float) -> None:
    """Darken the ground below a vehicle; labels stay."""
    camera = canvas.camera
    near = max(near, 0.5)
    scale = camera.scale(near)
    window = canvas.window(
        camera.column(across, far) - half * scale - abs(across) * scale,
        camera.column(across, far) + half * scale + abs(across) * scale,
        camera.row(0, far),
        camera.row(0, near),
    )
    if window is None:
        return
    ground = (canvas.y[window[0]] - camera.horizon) / camera.height  # scale of the ground, (h, 1)
    inside = (ground > camera.scale(far)) & (ground < scale)
    dx = canvas.x[:, window[1]] - camera.vanishing_x
    inside = inside & (np.abs(dx / np.maximum(ground, 1e-6) - across) < half)
    canvas.image[window] *= np.where(inside, 0.4, 1.0)[..., None].astype(np.float32)
