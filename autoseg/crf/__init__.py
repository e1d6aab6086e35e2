"""Dense CRF inference: labels that follow the colour edges of the image."""

from autoseg.crf.dense_crf import DenseCRF
from autoseg.crf.kernels import BilateralKernel, SpatialKernel

__all__ = ["BilateralKernel", "DenseCRF", "SpatialKernel"]
