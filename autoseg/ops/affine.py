"""Norms without learned scale and shift, as they are during a search."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def remove_affine_(module: nn.Module) -> None:
    """Take scale and shift from all norms inside: they would rescale the candidate operations.

    Source: DARTS, arXiv 1806.09055, section 3.1.
    """
    for norm in module.modules():
        if isinstance(norm, _NormBase | nn.GroupNorm):
            norm.affine = False
            norm.register_parameter("weight", None)
            norm.register_parameter("bias", None)
