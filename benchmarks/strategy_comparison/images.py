"""On which images the contestants search, are retrained and scored."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autoseg.commands.presets import choose_image_scale
from autoseg.config import SEARCH_PRESETS
from autoseg.contract import SegmentationDataset
from autoseg.data import build_dataset

PRESET = "tiny"
EMBEDDED = "synthetic"
"""The dataset that is drawn, and not read."""
_EMBEDDED_IMAGES = 512
"""Test scenes of it that score where the user does not say: it has as many as one likes."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """A dataset, and what the preset makes of its images."""

    dataset: str
    """Name of the dataset."""
    data_root: Path | None
    """Where it lies."""
    num_test_images: int | None
    """Scenes of the test split that are drawn to score; None is the whole split of a dataset that
    is read, and 512 scenes of the embedded one. A dataset that is read refuses a number."""

    @property
    def options(self) -> tuple[str, ...]:
        """What a command is told to take them; nothing for the embedded dataset."""
        named = () if self.dataset == EMBEDDED else ("--dataset", self.dataset)
        return named if self.data_root is None else (*named, "--data-root", str(self.data_root))

    @cached_property
    def test_split(self) -> SegmentationDataset:
        """What scores."""
        length = self.num_test_images
        if self.dataset == EMBEDDED and length is None:
            length = _EMBEDDED_IMAGES
        return build_dataset(self.dataset, split="test", data_root=self.data_root, length=length)

    @cached_property
    def epoch_steps(self) -> int:
        """Steps of an epoch of a search: batches of the smaller half of the train split."""
        train = build_dataset(self.dataset, split="train", data_root=self.data_root)
        return max(1, len(train) // 2 // SEARCH_PRESETS[PRESET].batch_size)

    @cached_property
    def image_scale(self) -> float:
        """Factor on the images' sides before a network sees them."""
        return choose_image_scale(PRESET, self.test_split.largest_size)

    @property
    def seen_size(self) -> tuple[int, int]:
        """Height and width of the largest image as a network sees it, in pixels."""
        height, width = self.test_split.largest_size
        return round(self.image_scale * height), round(self.image_scale * width)

    @property
    def description(self) -> str:
        """What scores, for a reader."""
        kind = "scenes of the embedded dataset" if self.dataset == EMBEDDED else "images"
        where = "" if self.dataset == EMBEDDED else f" of {self.test_split.name}"
        return f"{len(self.test_split):,} test {kind}{where}"
