"""What a user can say to `python -m autoseg.evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.config import Factor, Request
from autoseg.config.borders import BorderConfig
from autoseg.config.crf import PartialCRFConfig
from autoseg.config.diagnosis import DiagnosisConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(Request, PartialCRFConfig, BorderConfig, DiagnosisConfig):
    """What a user can say to `python -m autoseg.evaluate`."""

    run: Path
    """Run folder of a retrained network."""
    split: Literal["train", "val", "test"] = "val"
    """Split to score. Choose everything on train and val, and look at test once, at the end."""
    weights: Literal["best", "last"] = "best"
    """Weights of the best validation, or the last ones."""
    scales: tuple[Factor, ...] = (1.0,)
    """Factors on the images' sides, on top of the image scale of the training; the probabilities of
    several are averaged."""
    flip: bool = False
    """Average with the prediction of the mirrored image."""
    crf: bool = False
    """Score the dense CRF's result as well, with the parameters given here, else those that
    `python -m autoseg.tune` chose for the run, else DeepLab's."""
    data_root: Path | None = None
    """Folder of the dataset; none: as in the training."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
