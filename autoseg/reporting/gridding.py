"""Gridding: which pixels a stack of atrous convolutions reads, and which it passes over.

The picture in `docs/images`:

    python -c "from autoseg.reporting import draw_gridding, save_figure;
    save_figure(draw_gridding(), 'docs/images/gridding')"
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from autoseg.reporting.figure import hide_spines, new_figure
from autoseg.reporting.fonts import figure_text

GROUPS = ((2, 2, 2), (2, 4, 8), (1, 2, 9), (1, 2, 5))
"""One rate throughout; a common factor; rates that grow too fast; hybrid dilated convolution."""


def path_counts(rates: Sequence[int], *, kernel_size: int = 3) -> np.ndarray:
    """Count the ways in which each pixel of the input reaches one position of the output.

    Args:
        rates: Atrous rates of convolutions that follow each other at stride 1.
        kernel_size: Side of each kernel, odd.

    Returns:
        Counts, int64, (side, side), the output's position in the middle; side is the field of view,
        1 + (kernel_size - 1) * sum(rates). A pixel that is passed over has 0.
    """
    line = np.ones(1, dtype=np.int64)
    for rate in rates:
        taps = np.zeros((kernel_size - 1) * rate + 1, dtype=np.int64)
        taps[::rate] = 1
        line = np.convolve(line, taps)
    return np.outer(line, line)


def draw_gridding(groups: Sequence[Sequence[int]] = GROUPS) -> Figure:
    """Draw, for groups of rates, how often each pixel of the field of view is read.

    Returns:
        The figure: one panel a group, titled by its rates and the share of pixels that is read.
        White pixels are passed over; the darkest is the one read most often.

    Source: Wang et al. 2018, "Understanding Convolution for Semantic Segmentation"
    (arXiv 1702.08502), figure 2.
    """
    figure = new_figure(2.4 * len(groups), 3.3)
    for index, rates in enumerate(groups, start=1):
        counts = path_counts(rates)
        axes = figure.add_subplot(1, len(groups), index)
        # Square root: the counts fall off so fast that a linear scale shows the middle alone.
        shades = np.where(counts > 0, np.sqrt(counts), np.nan)
        axes.imshow(shades, cmap="Blues", vmin=0, interpolation="nearest")
        share = np.count_nonzero(counts) / counts.size
        title = f"rates {', '.join(map(str, rates))}\n{share:.0%} of the pixels"
        axes.set_title(figure_text(title), fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        hide_spines(axes)
        axes.set_xlabel(figure_text(f"{counts.shape[0]} x {counts.shape[0]}"), fontsize=8)
    return figure
