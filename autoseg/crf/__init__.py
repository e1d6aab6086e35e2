"""Dense CRF inference: labels that follow the colour edges of the image."""

from autoseg.crf.dense_crf import DenseCRF
from autoseg.crf.kernels import BilateralKernel, SpatialKernel
from autoseg.crf.settings import STOCK, CRFSettings

__all__ = ["STOCK", "BilateralKernel", "CRFSettings", "DenseCRF", "SpatialKernel"]
