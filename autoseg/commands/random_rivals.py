"""Architectures drawn at random beside the one that a search found: what it has to beat."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from autoseg.architecture import (
    AnyArchitecture,
    CellSpace,
    Space,
    sample_architecture,
    sample_cell_architecture,
)
from autoseg.cli.console import announce
from autoseg.data import SegmentationDataset
from autoseg.errors import UsageError
from autoseg.pricing import price_cells, price_space
from autoseg.runs.record import RECORD_NAME
from autoseg.trained import DRAWN, NetworkChoice, SearchRun

NUM_DRAWN = 1000
"""Architectures of which those are taken that cost what the searched one costs."""

_SEEDS = 2_000_000
"""Added to the seed, so that what is drawn is not what a search by the same seed drew."""


def draw_rivals(
    found: Sequence[NetworkChoice],
    file: Path | None,
    *,
    number: int,
    seed: int,
    dataset: SegmentationDataset,
    image_scale: float,
) -> list[NetworkChoice]:
    """Draw architectures of a search's space whose MACs are about those of what it found.

    Of a thousand, each drawn with the same probability as every other of the space, those are taken
    that are nearest in MACs: a network is told from one that was drawn at random by its score, and
    not by its cost.

    Args:
        found: What the search found, in its sizes; empty if there is no search.
        file: Where that was read from; None if there is no search.
        number: How many to draw.
        seed: Decides which are drawn.
        dataset: The images that are trained on.
        image_scale: Factor on the images' sides.

    Returns:
        Networks of the same sizes, called random-1, random-2, ...; no two alike, and none the
        searched one.

    Raises:
        UsageError: If no search stands beside the file, so that its space is not known; if the
            space has fewer others.
    """
    if file is None:
        raise UsageError(
            f"--random {number}: there is no searched architecture to draw others beside; "
            "name a search's with --architecture FILE, or leave --network out."
        )
    if not (file.parent / RECORD_NAME).exists():
        raise UsageError(
            f"--random {number}: no search stands beside {file}, so that its space is not "
            "known; name the architecture.json in the run folder of a search."
        )
    (searched,) = found
    assert searched.architecture is not None
    space = SearchRun.open(file.parent).space
    height, width = dataset.largest_size
    costs = _costs(
        space,
        searched.architecture,
        seed=seed,
        filter_multiplier=searched.filter_multiplier,
        width=searched.width,
        image_size=(round(image_scale * height), round(image_scale * width)),
        num_classes=dataset.num_classes,
        in_channels=dataset.num_channels,
    )
    wanted = costs.pop(searched.architecture)
    if len(costs) < number:
        raise UsageError(
            f"--random {number}: in {NUM_DRAWN:,} draws the space {space.name!r} gave "
            f"{len(costs)} other architecture(s); ask for no more."
        )
    nearest = sorted(costs, key=lambda drawn: abs(costs[drawn] - wanted))[:number]
    least, most = (choose(costs[drawn] for drawn in nearest) for choose in (min, max))
    announce(
        f"retrain: {number} architecture(s) drawn at random, with {least / 1e6:,.1f} to "
        f"{most / 1e6:,.1f} M MACs where the searched one has {wanted / 1e6:,.1f}"
    )
    return [
        replace(searched, label=f"{DRAWN}{place}", architecture=drawn)
        for place, drawn in enumerate(nearest, start=1)
    ]


def _costs(space: Space, searched: Any, *, seed: int, **sizes: Any) -> dict[AnyArchitecture, int]:
    """Return the MACs of the searched architecture, and of those that are drawn.

    Args:
        space: The space of all.
        searched: The searched one, of the space's kind.
        seed: Decides what is drawn.
        sizes: Those of images and networks, as `price_space` takes them.
    """
    generator = torch.Generator().manual_seed(_SEEDS + seed)
    if isinstance(space, CellSpace):
        cell_prices = price_cells(space, **sizes)
        cells = (sample_cell_architecture(space, generator) for _ in range(NUM_DRAWN))
        return {each: cell_prices.cost(each) for each in (searched, *cells)}
    prices = price_space(space, **sizes)
    drawn = (sample_architecture(space, generator) for _ in range(NUM_DRAWN))
    return {each: prices.cost(each) for each in (searched, *drawn)}
