"""A network over a split of a dataset: from images to logits, to masks, to one confusion matrix."""

from autoseg.evaluation.baselines import Baselines, measure_baselines
from autoseg.evaluation.evaluate import Evaluation, NonFiniteLogitsError, evaluate
from autoseg.evaluation.legend import with_legend
from autoseg.evaluation.masks import colour_mask, overlay
from autoseg.evaluation.predict import best_class, predict_logits

__all__ = [
    "Baselines",
    "Evaluation",
    "NonFiniteLogitsError",
    "best_class",
    "colour_mask",
    "evaluate",
    "measure_baselines",
    "overlay",
    "predict_logits",
    "with_legend",
]
