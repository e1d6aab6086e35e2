"""How many images of which size a network is given, and when, as its costs are measured."""

from dataclasses import dataclass
from typing import Literal

from autoseg.config.data import Side
from autoseg.config.ranges import Count

Scenario = Literal["single-stream", "offline"]
"""One call after the other, or all images at once: names of MLPerf's LoadGen (Reddi et al. 2020,
arXiv 1911.02549)."""


@dataclass(frozen=True, kw_only=True)
class ScenarioConfig:
    """What costs are measured on; scores are of each image by itself, at its own size."""

    batch: Count = 1
    """Images a call: latency and memory are those of so many at once, MACs and energy those of one.
    The first image is given so many times. Scores stay those of each image by itself."""
    size: tuple[Side, Side] | None = None
    """Height and width of the images that latency, MACs, memory and energy are measured on, and of
    the labels that come out, in pixels; none: those of the images that are scored. The first image
    is resized; scores stay those of the images' own size."""
    scenario: tuple[Scenario, ...] = ("single-stream",)
    """single-stream times one call after the other, and all rankings are by it; offline beside it
    finds the largest batch, and gives images a second in a table of its own."""
