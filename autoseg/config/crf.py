"""The dense CRF's parameters, as far as a user gives them."""

from dataclasses import dataclass, fields
from typing import Annotated

from autoseg.config.ranges import CountOrNone, Range, Weight

Std = Annotated[float, Range(low=1e-6)]
"""A standard deviation; with a smaller one a pixel has no neighbours."""


@dataclass(frozen=True, kw_only=True)
class PartialCRFConfig:
    """Parameters of the dense CRF; `autoseg.tuning.choice` chooses what is None."""

    bilateral_weight: Weight | None = None
    """Weight of the CRF's appearance term (pydensecrf: compat). With no parameter given, all are
    those of the tuning record where there is one; else those not given are DeepLab's, here 4."""
    bilateral_xy_std: Std | None = None
    """Standard deviation of the CRF's appearance term over positions, in pixels (sxy); DeepLab's is
    67."""
    bilateral_rgb_std: Std | None = None
    """Standard deviation of the CRF's appearance term over colours, in units of 0 to 255 (srgb);
    DeepLab's is 3."""
    spatial_weight: Weight | None = None
    """Weight of the CRF's smoothness term; DeepLab's is 3."""
    spatial_xy_std: Std | None = None
    """Standard deviation of the CRF's smoothness term over positions, in pixels; DeepLab's is 1."""
    num_iterations: CountOrNone | None = None
    """Mean-field updates of the CRF; DeepLab's are 10."""
    crf_mode: str | None = None
    """How the CRF's sums are computed: fast, accurate, exact or local, see DenseCRF; none: as the
    tuning record has it, else fast."""


CRF_FIELDS = tuple(field.name for field in fields(PartialCRFConfig))
"""Options that say something of a CRF alone."""
