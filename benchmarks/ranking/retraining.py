"""What a scorer is, and the truth that scores are compared with: architectures retrained."""

import tempfile
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import torch

from autoseg.architecture import Architecture, SearchSpace
from autoseg.commands.presets import choose_image_scale
from autoseg.config import (
    RETRAIN_PRESETS,
    DataConfig,
    RetrainPreset,
    TrainingConfig,
    values_of,
)
from autoseg.contract import SegmentationDataset
from autoseg.data import build_split
from autoseg.networks import build_network
from autoseg.runs import Run, StopRequest, seed_everything
from autoseg.training import train

CPU = torch.device("cpu")


class Scorer(ABC):
    """Scores architectures; higher is better."""

    def __init__(self, space: SearchSpace, *, data: DataConfig, num_steps: int, seed: int) -> None:
        """Take the settings.

        Args:
            space: Space of the architectures.
            data: Images that train and score.
            num_steps: Training steps, of each architecture or of the supernet.
            seed: Seed of weights, batches and sampled paths.
        """
        self.space = space
        self.data = data
        self.num_steps = num_steps
        self.seed = seed

    def split(self, name: str) -> SegmentationDataset:
        """Build the train or the val split."""
        return build_split(self.data, name)

    @property
    def image_scale(self) -> float:
        """Factor on the images' sides in the tiny preset."""
        return choose_image_scale("tiny", self.split("train").largest_size)

    @abstractmethod
    def score(self, architecture: Architecture) -> float:
        """Score an architecture; the higher the better."""


class Retraining(Scorer):
    """The truth: mIoU on val after a training by the recipe of `retrain`, shortened."""

    def score(self, architecture: Architecture) -> float:
        """Train on the whole train split, and score the last weights."""
        preset = replace(
            RETRAIN_PRESETS["tiny"],
            num_steps=self.num_steps,
            validate_every=self.num_steps,
            val_images=0,
            image_scale=self.image_scale,
            seed=self.seed,
        )
        train_dataset, val_dataset = map(self.split, ("train", "val"))
        seed_everything(self.seed)
        network = build_retrained(architecture, preset, num_classes=train_dataset.num_classes)
        settings = {name: getattr(preset, name) for name in values_of(TrainingConfig())}
        with (
            tempfile.TemporaryDirectory() as folder,
            Run.create(
                Path(folder) / "run", kind="retrain", command=[], config={}, seed=self.seed
            ) as run,
            StopRequest() as stop,
        ):
            result = train(
                network,
                run=run,
                config=TrainingConfig(**settings),
                train_dataset=train_dataset,
                val_dataset=val_dataset,
                identity={},
                device=CPU,
                stop=stop,
                description="retrain",
            )
            if not result.is_finished:
                raise KeyboardInterrupt
        return result.best_val_miou


def build_retrained(
    architecture: Architecture, preset: RetrainPreset, *, num_classes: int
) -> torch.nn.Module:
    """Build the network that is retrained."""
    return build_network(
        architecture,
        num_classes=num_classes,
        width=preset.width,
        filter_multiplier=preset.filter_multiplier,
        drop_path_keep=preset.drop_path_keep,
    )
