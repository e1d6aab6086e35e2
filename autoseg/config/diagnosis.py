"""What a user can ask of predictions beside their scores."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DiagnosisConfig:
    """How sure predictions are, and what is taken for what; `autoseg.metrics` defines both."""

    calibration: bool = False
    """Tell whether probabilities are right: expected calibration error (Guo et al. 2017), over 15
    bins, and how sure and how right the prediction is on average."""
    confusions: bool = False
    """Tell which classes are taken for which other ones, the largest shares first."""
