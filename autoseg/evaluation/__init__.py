"""A network over a split of a dataset: from images to logits, to masks, to one confusion matrix."""

from autoseg.evaluation.evaluate import Evaluation, NonFiniteLogitsError, evaluate
from autoseg.evaluation.legend import with_legend
from autoseg.evaluation.masks import colour_mask, overlay
from autoseg.evaluation.predict import predict_logits

__all__ = [
    "Evaluation",
    "NonFiniteLogitsError",
    "colour_mask",
    "evaluate",
    "overlay",
    "predict_logits",
    "with_legend",
]
