"""Tables, figures and the report."""

from typing import TYPE_CHECKING

from autoseg.deferred import deferred_names

if TYPE_CHECKING:
    from autoseg.reporting.cell import draw_cell, draw_cells
    from autoseg.reporting.figure import png_bytes, save_figure
    from autoseg.reporting.gridding import draw_gridding
    from autoseg.reporting.history import draw_history
    from autoseg.reporting.network_colours import network_colour
    from autoseg.reporting.pareto import draw_pareto, pareto_front
    from autoseg.reporting.paths import draw_paths
    from autoseg.reporting.sample_front import draw_sample_front
    from autoseg.reporting.sample_scores import draw_scores
    from autoseg.reporting.samples import draw_samples
    from autoseg.reporting.training_curves import draw_training
    from autoseg.reporting.trellis import draw_path, draw_trellis
else:
    __getattr__, __dir__ = deferred_names(
        __name__,
        "cell",
        "figure",
        "gridding",
        "history",
        "network_colours",
        "pareto",
        "paths",
        "sample_front",
        "sample_scores",
        "samples",
        "training_curves",
        "trellis",
    )

__all__ = [
    "draw_cell",
    "draw_cells",
    "draw_gridding",
    "draw_history",
    "draw_pareto",
    "draw_path",
    "draw_paths",
    "draw_sample_front",
    "draw_samples",
    "draw_scores",
    "draw_training",
    "draw_trellis",
    "network_colour",
    "pareto_front",
    "png_bytes",
    "save_figure",
]
