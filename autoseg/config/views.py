"""In which views of an image a network is scored and timed besides the image itself."""

from dataclasses import dataclass

from autoseg.config.ranges import Count, Factor


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """A second row for each network, of several views of each image, with their true time."""

    scales: tuple[Factor, ...] = ()
    """Give each network one more row, whose probabilities are averaged over the images at these
    factors of their sides, for example 0.75 1 1.25; none given: no such row."""
    flip: bool = False
    """Give each network one more row, whose probabilities are averaged with those of the mirrored
    image; with --scales, at each of them."""
    window: Count | None = None
    """Give each network one more row, predicted in overlapping windows of so many pixels a side, as
    the network sees them, a multiple of 32; with --scales or --flip, each view in such windows."""
