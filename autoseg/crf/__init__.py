"""Dense CRF inference: labels that follow the colour edges of the image."""

from typing import TYPE_CHECKING

from autoseg.deferred import deferred_names

if TYPE_CHECKING:
    from autoseg.crf.dense_crf import DenseCRF
    from autoseg.crf.kernels import BilateralKernel, SpatialKernel
    from autoseg.crf.settings import STOCK, CRFConfig
else:
    __getattr__, __dir__ = deferred_names(__name__, "dense_crf", "kernels", "settings")

__all__ = ["STOCK", "BilateralKernel", "CRFConfig", "DenseCRF", "SpatialKernel"]
