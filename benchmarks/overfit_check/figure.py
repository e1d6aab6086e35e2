"""Picture of what each network learned by heart."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.data import SegmentationDataset
from autoseg.reporting.figure import VERMILLION, new_figure
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.samples import colour_label, ignored_colour

_NUM_COLUMNS = 4
_WIDTH, _TITLE, _FOOT = 2.6, 0.22, 0.8  # inches
_GAP = 1  # white pixels between two images
_WRONG = np.array([int(VERMILLION[start : start + 2], 16) for start in (1, 3, 5)], np.uint8)
_RIGHT = np.array([238, 238, 238], np.uint8)


def draw_overfit(
    images: SegmentationDataset, preds: Mapping[str, Tensor], *, titles: Mapping[str, str]
) -> Figure:
    """Draw the images and their labels, and for each network its prediction above its errors.

    Args:
        images: Images of one size.
        preds: By network: predicted classes, int64, (N, H, W).
        titles: By network: what stands above its panel.

    Returns:
        A figure with a legend; wrong pixels are red in the lower strip of a panel.
    """
    samples = [images[index] for index in range(len(images))]
    target = torch.stack([sample.target for sample in samples])
    truth = _strip([_coloured(label, images) for label in target])
    photographs = _strip([sample.image.permute(1, 2, 0).numpy() for sample in samples])
    panels = {"images, and their labels": _stack(photographs, truth)}
    for name, pred in preds.items():
        is_ignored = target == images.ignore_index
        shown = torch.where(is_ignored, target, pred)
        wrong = [_errors(one, label) for one, label in zip(shown, target, strict=True)]
        panels[titles[name]] = _stack(
            _strip([_coloured(one, images) for one in shown]), _strip(wrong)
        )
    num_rows = -(-len(panels) // _NUM_COLUMNS)
    height, width = next(iter(panels.values())).shape[:2]
    panels_height = (_WIDTH * height / width + _TITLE) * num_rows
    figure = new_figure(_WIDTH * _NUM_COLUMNS, panels_height + _FOOT)
    axes = figure.subplots(num_rows, _NUM_COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (title, panel) in zip(axes.flat, panels.items(), strict=False):
        axis.imshow(panel, interpolation="nearest")
        axis.set_title(figure_text(title), fontsize=6.5, pad=2)
    entries = [("predicted wrongly (lower strip)", _WRONG), ("predicted rightly", _RIGHT)]
    entries += zip(images.class_names, images.palette, strict=True)
    entries.append(("ignored", np.array(ignored_colour(images.palette), np.uint8)))
    figure.legend(
        handles=[
            Patch(
                facecolor=tuple(colour / 255), edgecolor="grey", linewidth=0.5,
                label=figure_text(name),
            )
            for name, colour in entries
        ],
        title="above each panel: the network and its training mIoU in percent",
        loc="outside lower center", ncols=5, frameon=False, fontsize=7, title_fontsize=7,
    )  # fmt: skip
    return figure


def _coloured(label: Tensor, images: SegmentationDataset) -> NDArray[np.uint8]:
    return colour_label(label, images.palette, ignore_index=images.ignore_index)


def _errors(shown: Tensor, label: Tensor) -> NDArray[np.uint8]:
    """Mark wrong pixels: (H, W) twice -> RGB, uint8, (H, W, 3)."""
    is_wrong = (shown != label).numpy()[:, :, None]
    return np.where(is_wrong, _WRONG, _RIGHT)


def _strip(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures of one height side by side."""
    gap = np.full((len(pictures[0]), _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _stack(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gap = np.full((_GAP, upper.shape[1], 3), 255, np.uint8)
    return np.concatenate([upper, gap, lower])
