"""Draw samples of a dataset: each image above its label, with a legend of the classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.contract import SegmentationDataset
from autoseg.errors import UsageError
from autoseg.reporting.figure import new_figure
from autoseg.reporting.fonts import figure_text

_BLACK, _WHITE, _GREY = (0, 0, 0), (255, 255, 255), (128, 128, 128)
_MAX_NAMED = 40  # classes in the legend
_EDGE = "#8A8A8A"
_COLUMN_WIDTH, _LEGEND_COLUMN = 2.4, 1.3  # inches
_TITLE, _FOOT = 0.3, 0.7  # inches: above each row of images; for the legend


def draw_samples(
    dataset: SegmentationDataset, indices: Sequence[int], *, num_columns: int = 4
) -> Figure:
    """Draw some samples of a dataset.

    Args:
        dataset: Where they come from.
        indices: Which ones, at least one.
        num_columns: Samples side by side, at most.

    Returns:
        A figure that belongs to no window and no global state; `savefig` writes it. The dataset's
        attribution, where there is one, stands at its foot.

    Raises:
        UsageError: If there is nothing to draw, or an index does not exist.
    """
    if not indices:
        raise UsageError("draw_samples: no index was given; name at least one sample.")
    for index in indices:
        if not 0 <= index < len(dataset):
            raise UsageError(
                f"draw_samples: sample {index} does not exist; "
                f"the dataset has {len(dataset)} (0 to {len(dataset) - 1})."
            )
    samples = [dataset[index] for index in indices]
    num_columns = min(num_columns, len(samples))
    num_rows = -(-len(samples) // num_columns)
    height, width = samples[0].target.shape
    figure = new_figure(
        _COLUMN_WIDTH * num_columns,
        (2 * _COLUMN_WIDTH * height / width + _TITLE) * num_rows + _FOOT,
    )
    axes = figure.subplots(2 * num_rows, num_columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    found: set[int] = set()
    for place, sample in enumerate(samples):
        row, column = divmod(place, num_columns)
        image = sample.picture.permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)
        label = colour_label(sample.target, dataset.palette, ignore_index=dataset.ignore_index)
        found.update(np.unique(sample.target.numpy()).tolist())
        axes[2 * row, column].imshow(image, interpolation="nearest")
        axes[2 * row, column].set_title(figure_text(sample.name), fontsize=7, pad=2)
        axes[2 * row + 1, column].imshow(label, interpolation="nearest")
    _add_legend(figure, dataset, found)
    return figure


def colour_label(
    target: Tensor, palette: NDArray[np.uint8], *, ignore_index: int
) -> NDArray[np.uint8]:
    """Colour a label: int64 (H, W) -> RGB, uint8, (H, W, 3).

    Ignored pixels are black, or where a class is black, white or grey.
    """
    classes = target.numpy()
    ignored = classes == ignore_index
    colours = palette[np.where(ignored, 0, classes)]
    colours[ignored] = ignored_colour(palette)
    return colours


def ignored_colour(palette: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Choose a colour for pixels without a class that no class has."""
    taken = {tuple(colour) for colour in palette.tolist()}
    return next((colour for colour in (_BLACK, _WHITE) if colour not in taken), _GREY)


def _add_legend(figure: Figure, dataset: SegmentationDataset, found: set[int]) -> None:
    """Name all classes, or of very many those that the samples show; void where they show any."""
    entries = list(enumerate(zip(dataset.palette, dataset.class_names, strict=True)))
    if len(entries) > _MAX_NAMED:
        entries = [entry for entry in entries if entry[0] in found][:_MAX_NAMED]
    patches = [
        Patch(facecolor=colour / 255, edgecolor=_EDGE, linewidth=0.5, label=figure_text(name))
        for _, (colour, name) in entries
    ]
    if dataset.ignore_index in found:
        void = np.array(ignored_colour(dataset.palette)) / 255
        patches.append(
            Patch(facecolor=tuple(void), edgecolor=_EDGE, linewidth=0.5, label="ignored")
        )
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=max(1, int(figure.get_figwidth() / _LEGEND_COLUMN)),
        frameon=False,
        fontsize=8,
        title=figure_text(dataset.attribution) or None,
        title_fontsize=7,
    )
