"""Settings of a retraining."""

from dataclasses import dataclass

from autoseg.errors import UsageError
from autoseg.training.loss_config import LossConfig
from autoseg.training.precision import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig(LossConfig):
    """One recipe for every network."""

    num_steps: int
    """Optimizer steps (iterations)."""
    batch_size: int
    """Images a step."""
    crop_size: tuple[int, int]
    """Height and width of the training crops, in pixels."""
    learning_rate: float = 0.05
    """Initial learning rate of SGD (Auto-DeepLab, section 5.2: 0.05); polynomial decay to 0."""
    poly_power: float = 0.9
    """Exponent of the polynomial decay (DeepLab)."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 4e-5
    """L2 penalty of SGD (DeepLab v3+'s released recipe)."""
    gradient_clip: float = 0.0
    """Largest norm of the gradient over all weights; 0 switches clipping off."""
    image_scale: float = 1.0
    """Factor on the images' sides in training and prediction: 0.5 works at half resolution. Scores
    are always taken at the label's own resolution."""
    scale_range: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest random scale of the augmentation, on top of image_scale."""
    validate_every: int = 1000
    """Steps between two validations and checkpoints."""
    val_images: int = 0
    """Images of the val split that a validation uses, evenly spread; 0 takes all."""
    overfit: int | None = None
    """Train on so many images of the train split, evenly spread, whole and without augmentation
    or dropout, and validate on the same images: a sanity check that a network can learn, and no
    result. none: a training on the whole split."""
    num_workers: int = 0
    """Processes that load images; 0 loads in the training process."""
    precision: Precision = "auto"
    """fp32, tf32 (NVIDIA GPUs from Ampere on) or bf16; auto: bf16 on a GPU that has it, fp32
    elsewhere."""
    seed: int = 0
    """Seed of weights, order of images and augmentation."""

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)  # super() does not find its class in one with slots
        for field in ("num_steps", "batch_size", "validate_every"):
            if getattr(self, field) < 1:
                raise UsageError(f"{field} = {getattr(self, field)}: it must be at least 1.")
        for field in ("learning_rate", "image_scale"):
            if not getattr(self, field) > 0:
                raise UsageError(f"{field} = {getattr(self, field)}: it must be positive.")
        if self.overfit is not None and self.overfit < 1:
            raise UsageError(f"overfit = {self.overfit}: it must be at least 1 image, or none.")
        for field in ("gradient_clip", "val_images", "weight_decay", "num_workers"):
            if getattr(self, field) < 0:
                raise UsageError(f"{field} = {getattr(self, field)}: it must not be negative.")
