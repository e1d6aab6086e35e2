"""Which scores of borders a user asks for."""

from dataclasses import dataclass

from autoseg.config.ranges import Count


@dataclass(frozen=True, kw_only=True)
class BorderConfig:
    """Scores beside the mean IoU, which hardly sees borders; `autoseg.metrics` defines them."""

    trimap: tuple[Count, ...] = ()
    """Score the pixels within so many pixels of the labels' borders as well, and those near pixels
    without a label, for example 2 4 8; none given: not scored."""
    boundary_iou: bool = False
    """Score the Boundary IoU (Cheng et al. 2021), with bands of 2 percent of the diagonal."""
    surface_tolerance: Count | None = None
    """Score the share of the classes' surfaces that lie within so many pixels of the true ones
    (normalised surface distance); none: not scored."""
