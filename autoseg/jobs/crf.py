"""The CRF's parameters as a user gives them, and as a record keeps them."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from autoseg.crf import DenseCRF


# Without slots: a request inherits from it.
@dataclass(frozen=True, kw_only=True)
class CRFChoice:
    """Parameters of the dense CRF; the defaults are those of DeepLab's release."""

    bilateral_weight: float = 4.0
    """Weight of the CRF's appearance term (pydensecrf: compat)."""
    bilateral_xy_std: float = 67.0
    """Its standard deviation over positions, in pixels (sxy)."""
    bilateral_rgb_std: float = 3.0
    """Its standard deviation over colours, in units of 0 to 255 (srgb)."""
    spatial_weight: float = 3.0
    """Weight of the CRF's smoothness term."""
    spatial_xy_std: float = 1.0
    """Its standard deviation over positions, in pixels."""
    num_iterations: int = 10
    """Mean-field updates of the CRF."""

    def build_crf(self) -> DenseCRF:
        """Build the CRF.

        Raises:
            UsageError: If a number is out of its range.
        """
        return DenseCRF(**self.crf_parameters())

    def crf_parameters(self) -> dict[str, Any]:
        """Return the parameters by name, as they stand beside every result."""
        values = asdict(self)
        return {field.name: values[field.name] for field in fields(CRFChoice)}
