"""Settings that a search and a training have in common."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from autoseg.config.durations import seconds_of
from autoseg.config.field_types import require_in_range, values_of
from autoseg.config.ranges import Count, CountOrNone, Factor, Pixels, Range, Seed, Share, Weight
from autoseg.errors import UsageError

Precision = Literal["auto", "fp32", "tf32", "bf16"]
"""What a user can ask for. bf16 and TF32 have the range of fp32, so that no loss scaling is needed.

TF32 keeps fp32's storage and rounds the factors of convolutions and products to 10 bits of
mantissa; bf16 keeps 7 bits and stores the results so as well.
"""

Momentum = Annotated[float, Range(low=0, high=1, without_high=True)]
CropSize = tuple[Pixels, Pixels]
ScaleRange = tuple[Factor, Factor]

NOT_DECIDING = (
    "num_workers",
    "resident_gib",
    "backend",
    "cuda_graph",
    "memory_format",
    "val_share",
)
"""Settings that decide how a result is computed, and not what it is."""


# Fields that came later, and the value at which a run is what it was before.
_LATER = (
    ("class_uniform", 0.0),
    ("category_cap", 1.0),
    ("max_macs", None),
    ("macs_weight", 0.0),
    ("macs_target", None),
    ("max_latency", None),
    ("latency_weight", 0.0),
    ("latency_target", None),
    ("latency_table", None),
    ("front_cost", "macs"),
    ("selection", "argmax"),
    ("compile", False),
)


# Settings have no slots, here and below: a request inherits from several of them.
@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """Batches, SGD, validation and precision; a subclass states its own defaults."""

    batch_size: Count
    """Images a step."""
    crop_size: CropSize
    """Height and width of the training crops, in pixels."""
    momentum: Momentum = 0.9
    """Momentum of the weights' SGD."""
    weight_decay: Weight
    """L2 penalty of the weights' SGD."""
    gradient_clip: Weight
    """Largest norm of the gradient over all weights; 0 switches clipping off."""
    image_scale: Factor = 1.0
    """Factor on the images' sides in training and prediction: 0.5 works at half resolution. Scores
    are always taken at the label's own resolution."""
    scale_range: ScaleRange
    """Smallest and largest random scale of the augmentation, on top of image_scale."""
    class_uniform: Share = 0.0
    """Share of the crops that are placed on a class drawn uniformly from those of the image, so
    that rare classes are seen as often as frequent ones; 0 is off."""
    category_cap: Annotated[float, Range(low=0, high=1, without_low=True)] = 1.0
    """Largest share of a crop that one class may have: up to ten places are tried. 0.75 is usual;
    1 is off."""
    budget: str | None = None
    """How long a search, or each training of a retraining, may take, such as 90s, 10m or 1.5h:
    schedules follow the clock, so that the result depends on the machine. none: as many steps as
    the other settings say."""
    val_share: Annotated[float, Range(low=0, high=1, without_low=True)] = 0.1
    """Largest share of the time that validation may take: one that would exceed it waits, but for
    the first and the last. A search without --budget counts pixels for it, and a retraining without
    --budget has --validate-every alone. It changes nothing in what is trained; 1 is off."""
    val_images: CountOrNone = 0
    """Images of the val split that a validation uses, evenly spread; 0 takes all."""
    num_workers: Annotated[int, Range(low=0, high=1024)] = 0
    """Processes that load images; 0 loads in the training process."""
    resident_gib: Annotated[float, Range(low=0)] = 0.0
    """Size up to which training images stay on the device, in GiB: augmented there, without a way
    from the CPU in each step; images beyond it are moved there each time. 0: augmented on the
    CPU."""
    precision: Precision = "auto"
    """fp32, tf32 (NVIDIA GPUs from Ampere on) or bf16; auto: bf16 on a GPU that has it, fp32
    elsewhere."""
    seed: Seed = 0
    """Seed of weights, order of images and augmentation; in a search also of alpha, beta and the
    split into trainA and trainB."""

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None if steps are counted."""
        return None if self.budget is None else seconds_of(self.budget, name="budget")

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide a result, by name: a run goes on with the same ones."""
        values = values_of(self)
        return {
            name: value
            for name, value in values.items()
            if name not in NOT_DECIDING and (name, value) not in _LATER
        }

    def __post_init__(self) -> None:
        require_in_range(self)
        smallest, largest = self.scale_range
        if smallest > largest:
            raise UsageError(
                f"scale_range = {smallest} {largest}: the smallest scale comes first; use "
                f"--scale-range {largest} {smallest}."
            )
        if self.resident_gib > 0 and self.num_workers > 0:
            raise UsageError(
                f"--num-workers {self.num_workers} with --resident-gib {self.resident_gib:g}: "
                "images that stay on the device are augmented there, by the training process "
                "itself; leave one of them out."
            )
