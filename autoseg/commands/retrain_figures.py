"""Pictures of a retraining."""

from collections.abc import Mapping
from pathlib import Path

from autoseg.reporting import draw_training, save_figure
from autoseg.runs import Run, load_metrics


def draw_retraining(run: Run, folders: Mapping[str, Path], *, note: str | None) -> None:
    """Draw loss and mIoU over the steps of some networks into a run's figures.

    Args:
        run: Gets figures/training.png and .svg.
        folders: The networks' run folders by label; those that have logged nothing are left out.
        note: What a reader of the scores must know: that they are those of a sanity check.
    """
    histories = {label: load_metrics(folder) for label, folder in folders.items()}
    figure = draw_training(
        {label: records for label, records in histories.items() if records},
        score="validation mIoU" if note is None else "mIoU on the training images",
        title=note,
    )
    save_figure(figure, run.figures_dir / "training")
