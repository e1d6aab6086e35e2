"""Settings of a retraining, and their presets."""

from dataclasses import dataclass
from typing import Annotated, Any

from autoseg.config.forms import MemoryFormat
from autoseg.config.losses import PIXEL_MEANS, LossConfig
from autoseg.config.optimisation import WITHOUT_EFFECT, OptimisationConfig
from autoseg.config.ranges import Count, Factor, Range, Rate, Weight
from autoseg.config.recipe import CropSize, RecipeConfig, ScaleRange
from autoseg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(LossConfig, OptimisationConfig, RecipeConfig):
    """One recipe for every network; the defaults are the paper's.

    Source: Auto-DeepLab, arXiv 1901.02985, section 5.2, for Cityscapes. It prints neither the batch
    size, 16 is DeepLab's custom, nor how often it validates.
    """

    num_steps: Count = 1_500_000
    """Optimizer steps (iterations)."""
    batch_size: Count = 16
    crop_size: CropSize = (769, 769)
    learning_rate: Rate = 0.05
    """Initial learning rate (Auto-DeepLab, section 5.2: 0.05 for SGD); polynomial decay to 0."""
    poly_power: Weight = 0.9
    """Exponent of the polynomial decay (DeepLab)."""
    weight_decay: Weight = 4e-5
    """L2 penalty of SGD (DeepLab v3+'s released recipe), or the decay of AdamW."""
    gradient_clip: Weight = 0.0
    scale_range: ScaleRange = (0.5, 2.0)
    validate_every: Count = 5000
    """Steps between two validations and checkpoints; with --budget at least, as --val-share may
    put them off."""
    memory_format: MemoryFormat = "channels-last"
    """Order of weights and maps in memory while training; convolutions are faster with
    channels-last (docs/recipe.md). It decides the rounding of sums and dropout's draws, and
    nothing else."""
    compile: bool = False
    """Let torch's compiler make the kernels of the training steps, on a GPU, which takes minutes at
    the first step of each network (docs/recipe.md)."""
    overfit: Count | None = None
    """Train on so many images of the train split, evenly spread, whole and without augmentation
    or dropout, and validate on the same images: a sanity check that a network can learn, and no
    result. none: a training on the whole split."""

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)
        RecipeConfig.__post_init__(self)
        if self.seconds is None and self.warmup_steps > self.num_steps:
            raise UsageError(
                f"warmup_steps = {self.warmup_steps}: the training has {self.num_steps} steps; use "
                f"--warmup-steps {self.num_steps // 10} or so."
            )
        if self.cutmix > 0 and self.batch_size == 1:
            raise UsageError(
                f"cutmix = {self.cutmix:g}: there is no other image in a batch of one; use "
                "--batch-size 2 or more, or leave --cutmix out."
            )

        if self.accumulate > self.batch_size:
            raise UsageError(
                f"accumulate = {self.accumulate}: a batch of {self.batch_size} has not so many "
                f"parts; use --accumulate {self.batch_size} or less."
            )
        if self.accumulate > 1 and (others := sorted(set(self.loss) - set(PIXEL_MEANS))):
            raise UsageError(
                f"accumulate = {self.accumulate}: the loss {others[0]} needs the whole batch at "
                f"once, as it is no mean over pixels; use {' or '.join(PIXEL_MEANS)}, or leave "
                "--accumulate out."
            )

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide a result; those that came later only where they do."""
        values = super().identity()
        del values["budget" if self.budget is None else "num_steps"]
        return {
            name: value
            for name, value in values.items()
            if name not in WITHOUT_EFFECT or value != WITHOUT_EFFECT[name]
        }


@dataclass(frozen=True, kw_only=True)
class NetworkSizes:
    """How large networks are; the defaults are the published sizes."""

    width: Factor = 1.0
    """Factor on the channels of fixed networks, and of an architecture's stem and head."""
    filter_multiplier: Annotated[int, Range(low=1, high=1024)] = 20
    """F of an architecture's cells."""
    drop_path_keep: Annotated[float, Range(low=0, high=1, without_low=True)] = 0.8
    """ScheduledDropPath's keep probability in an architecture's last cell at the end of the
    training; 1 is off. The paper does not print it; 0.8 is ours."""


@dataclass(frozen=True, kw_only=True)
class RetrainPreset(TrainingConfig, NetworkSizes):
    """A recipe, and how large the networks are."""


RETRAIN_PRESETS: dict[str, RetrainPreset] = {
    "paper": RetrainPreset(),
    "tiny": RetrainPreset(
        num_steps=1200,
        batch_size=8,
        crop_size=(96, 96),
        learning_rate=0.1,
        scale_range=(0.75, 1.5),
        validate_every=300,
        val_images=32,
        width=0.125,
        filter_multiplier=8,
        drop_path_keep=1.0,
    ),
}
"""Settings by name: "paper" as published, "tiny" for minutes on two CPU cores."""
