"""What a user can say to `python -m autoseg.predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.config import Request, Share
from autoseg.config.crf import CRFChoice


@dataclass(frozen=True, kw_only=True)
class PredictRequest(Request, CRFChoice):
    """What a user can say to `python -m autoseg.predict`."""

    run: Path
    """Run folder of a retrained network."""
    images: tuple[Path, ...]
    """Images, or folders of images."""
    out: Path = Path("predictions")
    """Folder for the results."""
    weights: Literal["best", "last"] = "best"
    """Weights of the best validation, or the last ones."""
    overlay: bool = False
    """Also write each mask over its image."""
    opacity: Share = 0.6
    """Share of the mask in the overlay."""
    legend: bool = True
    """Name the classes of the mask under its overlay."""
    crf: bool = False
    """Refine the prediction by the dense CRF, with the parameters given here, else those that
    `python -m autoseg.tune` chose for the run, else DeepLab's."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
