"""What the networks of a comparison see of an image: numbers for their rows, maps for a picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from autoseg.comparison.subject import Subject
from autoseg.cost import TheoreticalField, effective_field, effective_side, theoretical_field
from autoseg.cost.receptive_field import WHOLE_IMAGE
from autoseg.data import normalise, spread_indices
from autoseg.reporting.receptive_fields import FieldPanel

NUM_FIELD_IMAGES = 16
"""Images that an effective field is averaged over, evenly spread over those that are scored."""

FIELD_COLUMNS = ("theoretical_field", "effective_field_px")
"""Fields of a row that are there where somebody asked for them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # a map is equal to itself alone
class ReceptiveField:
    """What one network sees."""

    theoretical: TheoreticalField
    """What it can see."""
    effective: NDArray[np.float64]
    """Mean absolute gradient of each pixel of the image that it sees, (H, W)."""
    effective_px: float
    """Side of a square as large as the effective field, in pixels of what the network sees."""

    @property
    def columns(self) -> dict[str, Any]:
        """Return its values in a row."""
        return dict(zip(FIELD_COLUMNS, (str(self.theoretical), self.effective_px), strict=True))

    def panel(self, name: str) -> FieldPanel:
        """Return what a picture shows, under a network's name."""
        return FieldPanel(
            name=name,
            effective=self.effective,
            box=self.theoretical.box,
            text=f"effective {self.effective_px:.0f} px, theoretical {self.theoretical}",
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Say where the theoretical field may be too large."""
        if not self.theoretical.unknown:
            return ()
        names = ", ".join(self.theoretical.unknown)
        return (f"receptive field: taken to read all of their inputs: {names}.",)


def columns_behind_crf(theoretical: str | None) -> dict[str, Any]:
    """Return the values of a row with the CRF, which joins every pixel with all others.

    Args:
        theoretical: That of the row without it; None if nobody asked.
    """
    values = (theoretical and WHOLE_IMAGE, None)
    return dict(zip(FIELD_COLUMNS, values, strict=True))


def measure_receptive_field(subject: Subject, *, device: torch.device) -> ReceptiveField:
    """Find both fields of a network, in plain torch and float32.

    Args:
        subject: The network, which is moved to the device.
        device: Where the gradients are computed.
    """
    network = subject.network.to(device)
    size = subject.input_size
    effective = effective_field(network, _images(subject, device), size=size)
    return ReceptiveField(
        theoretical=theoretical_field(network, size),
        effective=effective.numpy(),
        effective_px=effective_side(effective),
    )


def _images(subject: Subject, device: torch.device) -> Iterator[Tensor]:
    """Yield images as the network sees them: normalised, and resized as predictions are."""
    known = subject.indices or tuple(range(len(subject.dataset)))
    for place in spread_indices(len(known), NUM_FIELD_IMAGES):
        pixels = subject.dataset[known[place]].image.to(device).unsqueeze(0)
        images = normalise(pixels, subject.dataset.normalisation)
        size = [round(subject.image_scale * side) for side in images.shape[2:]]
        if size != list(images.shape[2:]):
            images = F.interpolate(
                images, size=size, mode="bilinear", align_corners=False, antialias=True
            )
        yield images[0]
