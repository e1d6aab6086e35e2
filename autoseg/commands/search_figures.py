"""Pictures of a search."""

from typing import TYPE_CHECKING

from autoseg import reporting
from autoseg.architecture import Architecture, SearchSpace
from autoseg.runs import Run, load_metrics
from autoseg.strategies import DartsSearch, DiscreteSearch, Strategy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_search(run: Run, strategy: Strategy) -> None:
    """Draw the cells, and what the strategy tells of its way there, into the run's figures."""
    found, lines = strategy.decode(), load_metrics(run.folder)
    figures = reporting.draw_cells(found)
    if isinstance(strategy, DartsSearch):
        figures["history"] = reporting.draw_history(lines)
        trellis = draw_trellis_of(strategy)
        if trellis is not None:
            figures["trellis"] = trellis
            figures["paths"] = reporting.draw_paths(lines)
    else:
        if isinstance(found, Architecture):
            figures["path"] = reporting.draw_path(found)
        name = strategy.estimator.score_name if isinstance(strategy, DiscreteSearch) else "score"
        quantity = None if name == "mIoU" else name
        figures["scores"] = reporting.draw_scores(lines, quantity=quantity)
        if any("macs" in line or "latency_ms" in line for line in lines):
            figures["front"] = reporting.draw_sample_front(lines, quantity=quantity)
    for name, figure in figures.items():
        reporting.save_figure(figure, run.figures_dir / name)


def draw_trellis_of(strategy: Strategy) -> "Figure | None":
    """Draw beta and the path that is decoded now; None where there is no beta."""
    if not isinstance(strategy, DartsSearch):
        return None
    found, space = strategy.decode(), strategy.task.space
    if not (isinstance(found, Architecture) and isinstance(space, SearchSpace)):
        return None
    _, beta = strategy.supernet.decoded_logits()
    return reporting.draw_trellis(
        space,
        beta.detach().cpu(),
        path=found.path,
        beta_norm=strategy.task.config.beta_norm,
    )
