"""What a user can say to `python -m autoseg.crf`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from autoseg.config import Range, Request
from autoseg.config.crf import PartialCRFConfig


@dataclass(frozen=True, kw_only=True)
class CRFRequest(Request, PartialCRFConfig):
    """What a user can say to `python -m autoseg.crf`."""

    image: Path
    """Image, or a folder of images."""
    segmentation: Path
    """Class numbers of the image as a palette or grey PNG, or its probabilities as .npy or .npz,
    (K, H, W); or a folder of such files with the images' names."""
    out: Path = Path("crf")
    """Folder for the results."""
    logits: bool = False
    """The array holds logits, not probabilities."""
    num_classes: Annotated[int, Range(low=2, high=256)] | None = None
    """Of a label image: number of classes, whose labels are then 0, 1, ...; none: the classes are
    the labels that occur in the file, such as 0 and 255 of a mask."""
    confidence: Annotated[float, Range(low=0, high=1, without_low=True, without_high=True)] = 0.7
    """Of a label image: probability that a label is right (pydensecrf: gt_prob)."""
    zero_unsure: bool = False
    """Of a label image: 0 marks pixels of unknown class, and the classes count from 1."""
    void: Literal["auto"] | tuple[Annotated[int, Range(low=0, high=65_535)], ...] | None = "auto"
    """Of label images: labels of pixels without a class, to which the CRF gives one; none: there
    are no such pixels; auto: 255, where at least two other labels occur in the files together, or
    where --num-classes leaves it out."""
    tuned: Path | None = None
    """Retrained network's run folder, or crf.json in it, whose tuned parameters are taken."""
    save_marginals: bool = False
    """Write NAME.npy too: the marginals, float32, (K, H, W)."""
    picture: bool = True
    """Write NAME_picture.png: image, labels before and after, and what changed."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
