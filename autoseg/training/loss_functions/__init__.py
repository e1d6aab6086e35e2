"""Losses of semantic segmentation, one a file; `autoseg.training.losses` lists them.

They are our own: the libraries that have them (segmentation-models-pytorch, MMCV) bring torchvision
or compiled extensions along, for five functions of a few lines each.
"""

from autoseg.training.loss_functions.auxiliary import Loss, label_at, segmentation_loss
from autoseg.training.loss_functions.cross_entropy import cross_entropy
from autoseg.training.loss_functions.dice import dice_loss
from autoseg.training.loss_functions.focal import focal_loss
from autoseg.training.loss_functions.lovasz import jaccard_extension, lovasz_softmax
from autoseg.training.loss_functions.ohem import ohem_cross_entropy

__all__ = [
    "Loss",
    "cross_entropy",
    "dice_loss",
    "focal_loss",
    "jaccard_extension",
    "label_at",
    "lovasz_softmax",
    "ohem_cross_entropy",
    "segmentation_loss",
]
