"""Dense CRF inference: labels that follow the colour edges of the image."""

from autoseg.crf.dense_crf import DenseCRF

__all__ = ["DenseCRF"]
