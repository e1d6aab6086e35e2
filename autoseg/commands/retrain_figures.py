"""Pictures of a retraining."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from autoseg import reporting
from autoseg.atomic import atomic_write
from autoseg.data import SegmentationDataset, spread_indices
from autoseg.distributed import from_all, is_first_process
from autoseg.evaluation import evaluate
from autoseg.runs import Run, load_metrics

_NUM_PREDICTIONS = 3
_MAX_WIDTH = 500  # pixels of each of the three pictures in a row


def draw_retraining(run: Run, folders: Mapping[str, Sequence[Path]], *, note: str | None) -> None:
    """Draw loss and mIoU over the steps of some networks into a run's figures.

    Args:
        run: Gets figures/training.png and .svg.
        folders: The run folders of each network's trainings, one a seed, by the network's label;
            those that have logged nothing are left out.
        note: What a reader of the scores must know: that they are those of a sanity check.
    """
    histories = {
        label: [lines for folder in each if (lines := load_metrics(folder))]
        for label, each in folders.items()
    }
    figure = reporting.draw_training(
        {label: each for label, each in histories.items() if each},
        score="validation mIoU" if note is None else "mIoU on the training images",
        title=note,
    )
    reporting.save_figure(figure, run.figures_dir / "training")


def draw_predictions(
    network: nn.Module,
    dataset: SegmentationDataset,
    *,
    device: torch.device,
    image_scale: float,
) -> NDArray[np.uint8] | None:
    """Draw images, evenly spread over a split, beside their truth and what a network predicts.

    Args:
        network: On the device.
        dataset: The split.
        device: Where the work is done.
        image_scale: Factor on the images' sides, as in the training.

    Returns:
        An image a row, RGB, (H, W, 3). Where several processes do one job, all predict, and all but
        the first one get None.
    """
    colours = np.vstack([dataset.palette, np.zeros((1, 3))]).astype(np.uint8)  # the last is void
    rows = []

    def keep(index: int, target: Tensor, pred: Tensor) -> None:
        step = -(-target.shape[1] // _MAX_WIDTH)
        known = torch.where(target == dataset.ignore_index, dataset.num_classes, target)
        image = dataset[index].picture.permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)
        labels = [colours[each.cpu().numpy()] for each in (known, pred)]
        rows.append(np.hstack([each[::step, ::step] for each in (image, *labels)]))

    indices = spread_indices(len(dataset), min(_NUM_PREDICTIONS, len(dataset)))
    evaluate(
        network,
        dataset,
        device=device,
        indices=indices,
        scales=(image_scale,),
        on_prediction=keep,
    )
    rows = [row for each in from_all(rows) for row in each]  # shares follow each other
    if not is_first_process():
        return None
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in rows]
    return np.vstack(padded)


def save_predictions(run: Run, pixels: NDArray[np.uint8]) -> None:
    """Write what `draw_predictions` drew into a run's figures, as predictions.png."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    atomic_write(run.figures_dir / "predictions.png", buffer.getvalue())
