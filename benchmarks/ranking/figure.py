"""Each scorer's scores over the retrained ones."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from autoseg.reporting.figure import BLUE, GREEN, ORANGE, VERMILLION, new_figure
from autoseg.reporting.fonts import figure_text

from .agreement import Agreement, by_scorer, true_scores
from .rows import Score

_COLOURS = (BLUE, GREEN, ORANGE, VERMILLION)
_NUM_COLUMNS = 4
_PANEL = 2.6  # inches


def draw_ranking(scores: Sequence[Score], compared: Sequence[Agreement], *, truth: str) -> Figure:
    """Draw a panel a scorer and seed: its score over the retrained mIoU, coloured by quarter.

    Args:
        scores: All scores.
        compared: What has a panel.
        truth: The scorer that is believed.
    """
    num_rows = math.ceil(len(compared) / _NUM_COLUMNS)
    figure = new_figure(_NUM_COLUMNS * _PANEL, num_rows * _PANEL)
    groups = by_scorer(scores)
    for place, row in enumerate(compared, start=1):
        axes = figure.add_subplot(num_rows, _NUM_COLUMNS, place)
        without = row.seed if row.scorer == truth else None
        true = true_scores(scores, truth, without_seed=without)
        for stratum, colour in enumerate(_COLOURS):
            members = [
                score
                for score in groups[row.scorer, row.seed]
                if score.stratum == stratum and score.number in true
            ]
            axes.scatter(
                [true[score.number] for score in members],
                [score.score for score in members],
                s=16,
                color=colour,
                label=figure_text(f"quarter {stratum + 1} by stride{', finest' * (stratum == 0)}"),
            )
        axes.set_title(figure_text(f"{row.scorer}, seed {row.seed}: tau {row.tau:.2f}"), fontsize=8)
        axes.tick_params(labelsize=7)
        if max(abs(limit) for limit in axes.get_ylim()) >= 10_000:
            # 50M, where the common factor 1e7 would stand in the title
            axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    handles, _ = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
    figure.supxlabel(figure_text(f"mIoU of {truth}"), fontsize=9)
    figure.supylabel("score", fontsize=9)
    return figure
