"""Steps of the networks of a retraining, counted before they are made, each of them once."""

from typing import TYPE_CHECKING, Any

import torch

from autoseg.config import TrainingConfig
from autoseg.data import SegmentationDataset
from autoseg.distributed import num_processes
from autoseg.trained import NetworkChoice

if TYPE_CHECKING:
    from autoseg.training.step_tally import StepTally, UncountableError


class StepCounts:
    """Counts what steps take, in this process, which has its share of each batch.

    A plan asks for several sizes of a step, and the estimate for the one that was chosen; a count
    takes a second or a few, and is kept.
    """

    def __init__(self, dataset: SegmentationDataset, device: torch.device) -> None:
        """Count nothing yet.

        Args:
            dataset: The train split.
            device: Where the steps would be made.
        """
        self.dataset = dataset
        """The train split."""
        self.device = device
        """Where the steps would be made."""
        self._kept: dict[tuple[Any, ...], StepTally | UncountableError] = {}

    def __call__(self, choice: NetworkChoice, config: TrainingConfig) -> "StepTally":
        """Count a step of a network.

        Args:
            choice: One of the networks, known by its label.
            config: The recipe, of which sizes alone differ from count to count.

        Raises:
            UncountableError: If it is not known what the step takes.
        """
        from autoseg.training.step_tally import UncountableError

        sizes = (choice.label, config.batch_size, config.accumulate, *config.crop_size)
        if sizes not in self._kept:
            try:
                self._kept[sizes] = self._count(choice, config)
            except UncountableError as error:
                self._kept[sizes] = error
        found = self._kept[sizes]
        if isinstance(found, UncountableError):
            raise found
        return found

    def _count(self, choice: NetworkChoice, config: TrainingConfig) -> "StepTally":
        # Late: torch's tensors without numbers take half a second to import.
        from autoseg.training.step_tally import UncountableError, count_step

        if choice.crf_layer is not None:
            raise UncountableError("the lattice of its CRF depends on the images")
        return count_step(
            lambda: choice.build(
                self.dataset.num_classes, normalisation=self.dataset.normalisation
            ),
            config,
            num_images=config.batch_size // num_processes(),
            num_classes=self.dataset.num_classes,
            num_channels=self.dataset.num_channels,
            device=self.device,
        )
