"""A picture with its labels, and the camera that maps metres to pixels.

Lengths in the picture are in image heights: y runs from 0 (top) to 1 (bottom), x from 0 (left) to
width / height. Lengths in the street are metres: `across` to the right of the camera, `up` above
the ground, `ahead` of the camera. A surface at distance `ahead` has the scale focal / ahead, in
image heights a metre; the ground at row y has the scale (y - horizon) / camera_height.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoseg.data.street.classes import VOID
from autoseg.data.street.noise import FloatArray

Window = tuple[slice, slice]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """A camera that looks along the street; its optical axis is level."""

    horizon: float
    """Row of the horizon, in image heights from the top."""

    vanishing_x: float
    """Column in which the street vanishes, in image heights from the left."""

    height: float
    """Height above the ground, metres."""

    focal: float
    """Focal length, in image heights: an object of 1 m at 1 m spans this much."""

    def scale(self, ahead: float) -> float:
        """Return the image heights that one metre spans at a distance of `ahead` metres."""
        return self.focal / ahead

    def column(self, across: float, ahead: float) -> float:
        """Return the x of a point that lies `across` metres to the right."""
        return self.vanishing_x + across * self.scale(ahead)

    def row(self, up: float, ahead: float) -> float:
        """Return the y of a point that lies `up` metres above the ground."""
        return self.horizon + (self.height - up) * self.scale(ahead)


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """The visible part of a box: arrays over a window of the picture, (h, w) or broadcastable."""

    window: Window
    mask: BoolArray
    """True where the box is seen."""
    scale: FloatArray
    """Image heights a metre at each pixel."""
    is_front: BoolArray
    """Pixels of the face that looks at the camera."""
    is_top: BoolArray
    """Pixels of the upper face; the remaining ones belong to the left, right or lower face."""
    along: FloatArray
    """Metres along the face: across the street on the front, ahead on a side."""
    up: FloatArray
    """Metres above the ground."""


class Canvas:
    """Pixels, labels and scales; later paint covers earlier paint."""

    def __init__(self, height: int, width: int, camera: Camera) -> None:
        """Start black, VOID and infinitely far.

        Args:
            height, width: Size of the picture, in pixels.
            camera: Where the street is seen from.
        """
        self.height = height
        self.width = width
        self.camera = camera
        self.image: FloatArray = np.zeros((height, width, 3), np.float32)
        self.label = np.full((height, width), VOID, np.uint8)
        self.scale: FloatArray = np.zeros((height, width), np.float32)
        # pixel centres, (h, 1) and (1, w)
        self.y: FloatArray = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.x: FloatArray = ((np.arange(width, dtype=np.float32) + 0.5) / height)[None, :]

    def window(self, left: float, right: float, top: float, bottom: float) -> Window | None:
        """Find the pixels whose centres lie between four lines; None if there is none."""
        columns = _indices_between(left * self.height, right * self.height, self.width)
        rows = _indices_between(top * self.height, bottom * self.height, self.height)
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        return rows, columns

    def paint(
        self,
        window: Window,
        mask: BoolArray,
        *,
        label: int,
        colour: FloatArray,
        scale: FloatArray | float,
    ) -> None:
        """Cover the pixels of a mask.

        Args:
            window: Rows and columns of the picture that the other arrays speak of, (h, w).
            mask: Pixels to cover, (h, w).
            label: A `StreetClass`, or VOID.
            colour: RGB in [0, 1], (3,) or (h, w, 3).
            scale: Image heights a metre, one number or (h, w); 0 is infinitely far.
        """
        np.copyto(self.image[window], colour, where=mask[..., None])
        np.copyto(self.label[window], np.uint8(label), where=mask)
        np.copyto(self.scale[window], np.float32(scale), where=mask)

    def box(
        self,
        *,
        left: float,
        right: float,
        bottom: float,
        top: float,
        near: float,
        length: float,
    ) -> Surface | None:
        """Project a box that is aligned with the street.

        Args:
            left, right: Metres across, left < right.
            bottom, top: Metres up, bottom < top.
            near: Metres ahead to its front, positive.
            length: Metres from its front to its back, positive.

        Returns:
            What is seen of the box if nothing covers it; None if it lies outside the picture.
        """
        camera = self.camera
        near_scale, far_scale = camera.scale(near), camera.scale(near + length)
        below_top, below_bottom = camera.height - top, camera.height - bottom
        window = self.window(
            camera.vanishing_x + min(left * near_scale, left * far_scale),
            camera.vanishing_x + max(right * near_scale, right * far_scale),
            camera.horizon + min(below_top * near_scale, below_top * far_scale),
            camera.horizon + max(below_bottom * near_scale, below_bottom * far_scale),
        )
        if window is None:
            return None
        dx = self.x[:, window[1]] - np.float32(camera.vanishing_x)  # (1, w)
        dy = self.y[window[0]] - np.float32(camera.horizon)  # (h, 1)
        # A pixel sees the box where some scale t in [far, near] puts it between the box's sides,
        # t left <= dx <= t right and t below_top <= dy <= t below_bottom; the nearest point is
        # seen, which has the largest t.
        x_lowest, x_highest = _scales_between(dx, left, right)
        y_lowest, y_highest = _scales_between(dy, below_top, below_bottom)
        x_highest = np.minimum(x_highest, np.float32(near_scale))
        scale = np.minimum(x_highest, y_highest)  # (h, w)
        mask = scale >= np.maximum(np.maximum(x_lowest, y_lowest), np.float32(far_scale))
        scale = np.where(mask, scale, np.float32(near_scale))  # keeps what follows finite
        is_front = scale >= near_scale * (1 - 1e-6)
        along = np.where(is_front, dx / scale, np.float32(camera.focal) / scale)
        return Surface(
            window=window,
            mask=mask,
            scale=scale,
            is_front=is_front,
            is_top=(y_highest < x_highest) & ~is_front & (dy > 0),
            along=along,
            up=np.float32(camera.height) - dy / scale,
        )


def _indices_between(low: float, high: float, length: int) -> slice:
    """Indices i in [0, length) with low <= i + 1/2 <= high, as pixels are centred."""
    # Clipped first: a box next to the camera reaches towards infinity. The slack outweighs the
    # rounding of float32 coordinates.
    low, high = max(low, 0.0), min(high, length)
    return slice(math.ceil(low - 0.501), math.floor(high - 0.499) + 1)


def _scales_between(
    offset: FloatArray, lowest: float, highest: float
) -> tuple[FloatArray, FloatArray]:
    """Solve t * lowest <= offset <= t * highest for t > 0: the smallest and the largest t."""
    smallest = np.zeros_like(offset)
    largest = np.full_like(offset, np.inf)
    for bound, is_lower in ((lowest, True), (highest, False)):
        if abs(bound) < 1e-6:
            bound = 1e-6  # a plane through the camera's axis is moved off it by a micrometre
        ratio = offset / np.float32(bound)
        if (bound > 0) == is_lower:
            largest = np.minimum(largest, ratio)
        else:
            smallest = np.maximum(smallest, ratio)
    return smallest, largest
