"""What a user can say to `python -m autoseg.predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from autoseg.config import Range, Request, Share
from autoseg.config.crf import PartialCRFConfig


@dataclass(frozen=True, kw_only=True)
class PredictRequest(Request, PartialCRFConfig):
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
    window: Literal["auto"] | Annotated[int, Range(low=64, high=65_536)] | None = "auto"
    """Predict in overlapping windows of so many pixels a side, as the network sees them, to bound
    memory; none: in one piece; auto: in one piece where the image is small enough for it (2^24
    pixels, as the network sees them, and 1 GiB of scores), else in windows of 1024. The CRF needs
    one piece."""
    overlap: Annotated[int, Range(low=32, high=65_536)] | None = None
    """Pixels, as the network sees them, that neighbouring windows share, of which each gives its
    own half; none: a quarter of a window."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
