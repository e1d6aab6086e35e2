"""Compose a street, light it and photograph it."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from autoseg.data.street.background import (
    draw_ground,
    draw_house,
    draw_sky,
    draw_skyline,
)
from autoseg.data.street.canvas import Camera, Canvas
from autoseg.data.street.classes import VOID
from autoseg.data.street.layout import Layout, Side, random_layout
from autoseg.data.street.noise import FloatArray, fractal_noise
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
from autoseg.data.street.paint import any_paint, hsv

Plan = list[tuple[float, Callable[[], None]]]
"""What to draw, with its distance in metres."""

_FAR = 60.0  # metres; what stands beyond is part of the skyline


def draw_street(
    rng: np.random.Generator, *, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a street seen by a camera on the road, and the class of each pixel.

    Args:
        rng: Decides everything; its state and the size alone determine the result.
        height, width: Size in pixels.

    Returns:
        The image, RGB, uint8, (height, width, 3), and the label, uint8, (height, width): a
        `StreetClass`, or VOID. Labels change exactly where one surface covers another, before the
        lens blurs the edge.
    """
    aspect = width / height
    camera = Camera(
        horizon=rng.uniform(0.35, 0.57),
        vanishing_x=aspect * rng.uniform(0.15, 0.85),
        height=rng.uniform(1.4, 2.2),
        focal=rng.uniform(1.0, 1.5),
    )
    canvas = Canvas(height, width, camera)
    layout = random_layout(rng)
    leaves = fractal_noise(rng, height, width, num_cells=9, num_octaves=3, gain=0.8)
    fine = fractal_noise(rng, height, width, num_cells=24, num_octaves=3, gain=1.0)
    coarse = fractal_noise(rng, height, width, num_cells=2.5, num_octaves=3)
    foliage = _leaf_colour(rng)

    haze = draw_sky(canvas, rng, coarse)
    draw_skyline(canvas, rng, leaves, foliage)
    draw_ground(canvas, rng, layout, fine, coarse)
    _draw_shade(canvas, rng, coarse)
    for side in layout.sides:
        _draw_houses(canvas, rng, fine, side, layout)
    _draw_objects(canvas, rng, leaves, layout, foliage)
    if rng.random() < 0.3 and min(side.kerb for side in layout.sides) > 0:
        _draw_bonnet(canvas, rng)
    return _photograph(canvas, rng, haze), canvas.label


def _leaf_colour(rng: np.random.Generator) -> FloatArray:
    if rng.random() < 0.15:  # autumn
        return hsv(rng.uniform(0.05, 0.13), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.6))
    return hsv(rng.uniform(0.17, 0.38), rng.uniform(0.2, 0.65), rng.uniform(0.2, 0.5))


def _draw_shade(canvas: Canvas, rng: np.random.Generator, coarse: FloatArray) -> None:
    """Darken parts of the ground as clouds, houses and trees do; labels stay."""
    if rng.random() < 0.5:
        return
    below = canvas.y > canvas.camera.horizon
    stretched = np.roll(coarse, rng.integers(canvas.height), axis=0)
    shade = below & (stretched > rng.uniform(-0.2, 0.4))
    canvas.image *= np.where(shade, rng.uniform(0.45, 0.75), 1.0)[..., None].astype(np.float32)


def _draw_houses(
    canvas: Canvas, rng: np.random.Generator, fine: FloatArray, side: Side, layout: Layout
) -> None:
    """Draw a row of houses with gaps, far ones first, none in the crossing road."""
    spans = []
    ahead = rng.uniform(0.8, 6)
    is_open = rng.random() < 0.2  # a park: hardly any house
    while ahead < _FAR:
        length = rng.uniform(6, 18)
        gap = rng.uniform(1, 8) if rng.random() < 0.4 else 0.0
        is_clear = ahead + length < layout.junction[0] or ahead > layout.junction[1]
        if (is_clear or layout.junction[0] == layout.junction[1]) and (
            not is_open or rng.random() < 0.25
        ):
            spans.append((ahead, length))
        ahead += length + gap
    for near, length in reversed(spans):
        draw_house(canvas, rng, fine, side, near=near, length=length)


def _draw_objects(
    canvas: Canvas,
    rng: np.random.Generator,
    leaves: FloatArray,
    layout: Layout,
    foliage: FloatArray,
) -> None:
    """Choose what stands where, then draw it, far things first."""
    plan = [
        *_plan_traffic(canvas, rng, layout),
        *_plan_people(canvas, rng, layout),
        *_plan_posts(canvas, rng, layout),
        *_plan_fences(canvas, rng, layout),
        *_plan_trees(canvas, rng, leaves, layout, foliage),
    ]
    # By the distance alone: equal ones stay in the order of the plan.
    for _, draw in sorted(plan, key=lambda entry: -entry[0]):
        draw()


def _plan_traffic(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> Plan:
    """Cars in both directions and at the kerbs, a bus, a car in the crossing road."""
    left, right = layout.sides
    plan: Plan = []
    lanes = [0.5 * (layout.middle - left.kerb), 0.5 * (layout.middle + right.kerb)]
    lanes += [side.sign * (side.kerb - 1.1) for side in layout.sides if side.has_parking]
    for lane in rng.permutation(lanes)[: rng.integers(1, 4)].tolist():
        sun = (left if lane < 0 else right).sun
        ahead = _distance(rng, 5, 12)
        if rng.random() < 0.3:
            place = {"across": lane, "ahead": ahead + 2, "sun": sun}
            plan.append((ahead + 2, partial(draw_bus, canvas, rng, **place)))
            ahead += 14
        for _ in range(rng.integers(1, 3)):
            across = lane + rng.uniform(-0.2, 0.2)
            plan.append(
                (ahead, partial(draw_car, canvas, rng, across=across, ahead=ahead, sun=sun))
            )
            ahead += 4.5 + rng.uniform(0.5, 12)
    start, end = layout.junction
    if end > start:
        across, ahead = rng.uniform(-6, 6), 0.5 * (start + end)
        plan.append(
            (ahead, partial(draw_crossing_car, canvas, rng, across=across, ahead=ahead, sun=1.0))
        )
    return plan


def _plan_people(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> Plan:
    """People on the pavements, alone or in groups, and now and then on the road."""
    plan: Plan = []
    for _ in range(rng.integers(3, 7)):
        if rng.random() < 0.2:
            centre = rng.uniform(-layout.sides[0].kerb, layout.sides[1].kerb)
        else:
            side = layout.sides[rng.integers(2)]
            centre = side.sign * rng.uniform(*side.pavement)
        distance = _distance(rng, 3.5, 14)
        for _ in range(rng.integers(1, 4)):
            across = centre + rng.uniform(-0.9, 0.9)
            ahead = max(distance + rng.uniform(-1, 1), 3.0)
            plan.append((ahead, partial(draw_person, canvas, rng, across=across, ahead=ahead)))
    return plan


def _plan_posts(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> Plan:
    """A row of lamps on each side, traffic signs on their posts, rubbish bins."""
    plan: Plan = []
    metal = hsv(rng.random(), 0.25 * rng.random(), rng.uniform(0.1, 0.7))
    for side in layout.sides:
        across = side.sign * (side.kerb + rng.uniform(0.2, 0.7))
        top, spacing = rng.uniform(4.5, 8), rng.uniform(10, 20)
        for number in range(rng.integers(1, 5)):
            ahead = rng.uniform(4, 10) + number * spacing
            place = {"across": across, "ahead": ahead, "top": top, "colour": metal}
            plan.append((ahead, partial(draw_pole, canvas, rng, **place)))
        for _ in range(rng.integers(1, 4)):
            ahead = _distance(rng, 4.0, 13)
            up = rng.uniform(1.9, 2.9)
            aside = across + rng.uniform(-0.3, 0.3)
            post = {"across": aside, "ahead": ahead, "top": up, "colour": metal}
            plan.append((ahead, partial(draw_pole, canvas, rng, **post)))
            plan.append((ahead, partial(draw_sign, canvas, rng, across=aside, ahead=ahead, up=up)))
        if rng.random() < 0.3:
            ahead = _distance(rng, 4, 20)
            plan.append((ahead, partial(draw_bin, canvas, rng, across=across, ahead=ahead)))
    return plan


def _plan_fences(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> Plan:
    """Fences in front of the houses or along the grass; sorted by their far end."""
    plan: Plan = []
    for side in layout.sides:
        if rng.random() < 0.15:
            continue
        across = side.wall - 0.2 if rng.random() < 0.5 else side.strip
        across = side.sign * max(across, 1.5)  # not across the camera's axis
        ahead = rng.uniform(1.5, 10)
        for _ in range(rng.integers(1, 4)):
            length = rng.uniform(4, 12)
            place = {"across": across, "near": ahead, "length": length, "sun": side.sun}
            plan.append((ahead + length, partial(draw_fence, canvas, rng, **place)))
            ahead += length + rng.uniform(1, 6)
    return plan


def _plan_trees(
    canvas: Canvas,
    rng: np.random.Generator,
    leaves: FloatArray,
    layout: Layout,
    foliage: FloatArray,
) -> Plan:
    """Trees and bushes between the kerb and the houses."""
    plan: Plan = []
    for side in layout.sides:
        for _ in range(rng.integers(1, 6)):
            across = side.sign * rng.uniform(side.kerb + 0.8, side.wall + 1.0)
            ahead = _distance(rng, 5, 45)
            colour = foliage * np.float32(rng.uniform(0.8, 1.2))
            place = {"across": across, "ahead": ahead, "colour": colour}
            plan.append((ahead, partial(draw_tree, canvas, rng, leaves, **place)))
    return plan


def _distance(rng: np.random.Generator, nearest: float, farthest: float) -> float:
    """Draw metres ahead so that every apparent size is equally likely on a log scale."""
    return nearest * (farthest / nearest) ** rng.random()


def _draw_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cover the lower edge with the bonnet of the car that carries the camera: VOID."""
    middle = 0.5 * canvas.width / canvas.height
    wide, tall = rng.uniform(0.6, 1.0) * middle, rng.uniform(0.03, 0.09)
    window = (slice(0, canvas.height), slice(0, canvas.width))
    mask = ((canvas.x - middle) / wide) ** 2 + ((canvas.y - 1) / tall) ** 2 < 1
    colour = any_paint(rng) * (1 + 3 * (1 - canvas.y))[..., None]
    canvas.paint(
        window,
        mask,
        label=VOID,
        colour=np.broadcast_to(colour, canvas.image.shape),
        scale=canvas.camera.scale(1.5),
    )


def _photograph(canvas: Canvas, rng: np.random.Generator, haze: FloatArray) -> NDArray[np.uint8]:
    """Turn surface colours into pixels: haze, exposure, tint, lens, noise, 8 bits."""
    visibility = rng.uniform(60, 400)  # metres after which 63 % of a colour is haze
    ahead = canvas.camera.focal / np.maximum(canvas.scale, 1e-3)
    clear = np.where(canvas.scale > 0, np.exp(-ahead / visibility), 1.0)[..., None]
    image = haze + (canvas.image - haze) * clear.astype(np.float32)
    tint = 1 + rng.uniform(-0.06, 0.06, 3)
    image = image * (rng.uniform(0.75, 1.2) * tint).astype(np.float32)
    image = _blur(image, float(rng.uniform(0.02, 0.13)))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    image += noise * np.float32(rng.uniform(0.004, 0.02))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _blur(image: FloatArray, share: float) -> FloatArray:
    """Give each pixel `share` of each of its two neighbours, along rows, then along columns."""
    for axis in (0, 1):
        image = np.moveaxis(image, axis, 0)
        padded = np.concatenate((image[:1], image, image[-1:]))
        image = image + share * (padded[:-2] + padded[2:] - 2 * image)
        image = np.moveaxis(image, 0, axis)
    return image
