"""A network over a split of a dataset: from images to logits, to masks, to one confusion matrix."""

from autoseg.evaluation.baselines import Baselines, measure_baselines
from autoseg.evaluation.evaluate import Evaluation, NonFiniteLogitsError, evaluate
from autoseg.evaluation.legend import with_legend
from autoseg.evaluation.masks import colour_mask, overlay, reduced_classes, reduced_image
from autoseg.evaluation.predict import best_class, predict_logits, scale_images
from autoseg.evaluation.views import Views
from autoseg.evaluation.windows import (
    Windows,
    fits_in_one_piece,
    predict_in_windows,
    view_size,
)

__all__ = [
    "Baselines",
    "Evaluation",
    "NonFiniteLogitsError",
    "Views",
    "Windows",
    "best_class",
    "colour_mask",
    "evaluate",
    "fits_in_one_piece",
    "measure_baselines",
    "overlay",
    "predict_in_windows",
    "predict_logits",
    "reduced_classes",
    "reduced_image",
    "scale_images",
    "view_size",
    "with_legend",
]
