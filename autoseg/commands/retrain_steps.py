"""How long `--preset auto` trains at the paper's size, on images that the paper did not have.

The paper's 1,500,000 steps are eight thousand times through Cityscapes. docs/plan.md has the rules.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from autoseg.cli.console import announce
from autoseg.config import TrainingConfig
from autoseg.data import SegmentationDataset
from autoseg.errors import UsageError

SECONDS = 7200.0
"""Time that the training of a network is planned for."""

_MICROSECONDS = 0.11
"""Of a step for each pixel of its crops: the published Auto-DeepLab, F = 20, on an H100 (52 images
of 360 x 480 a second)."""

_MAX_EPOCHS = 2000
"""Times that each image is seen at most; the records on CamVid's 367 took several hundred."""
_FEWEST_STEPS = 1200  # of the preset tiny: fewer images than a batch's want no fewer
_FORWARD_SHARE = 1 / 3
"""What a pixel of a validation costs of one of a step, which has a backward pass as well."""
_VAL_SHARE = 0.1
_MAX_VALIDATIONS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class StepsPlan:
    """How many steps, and how many between two validations."""

    settings: dict[str, int]
    """Fields of a training's configuration by name."""
    reasons: tuple[str, ...]
    """Why, a line for each field that nobody gave."""


def require_one_end(config: TrainingConfig, *, given: Collection[str]) -> None:
    """Refuse two ends of one training, and a share of the time where nothing keeps to a time.

    Args:
        config: The recipe as the user has it.
        given: Names of the settings that the user gave.

    Raises:
        UsageError: With what to leave out.
    """
    if config.budget is not None and "num_steps" in given:
        raise UsageError(
            f"--budget {config.budget} and --num-steps {config.num_steps}: each says when a "
            "training ends; give one of them."
        )
    if config.budget is None and "val_share" in given:
        raise UsageError(
            f"--val-share {config.val_share:g}: without --budget a retraining validates by its "
            "steps alone; give --validate-every, or add --budget."
        )


def step_seconds(config: TrainingConfig) -> float:
    """Return the nominal time of a step of a network of the published size on an H100, seconds."""
    return config.batch_size * math.prod(config.crop_size) * _MICROSECONDS * 1e-6


def plan_steps(
    config: TrainingConfig, *, num_images: int, num_val_pixels: int, given: Collection[str]
) -> StepsPlan:
    """Choose the steps of a training. A pure function: the same arguments give the same plan.

    Args:
        config: The recipe, fitted to the images; its steps are the most that are planned.
        num_images: Images of the train split.
        num_val_pixels: Pixels that a validation sees, at the recipe's image scale.
        given: Names of the settings that the user gave; they stay.
    """
    pixels = config.batch_size * math.prod(config.crop_size)
    num_steps, seconds = config.num_steps, config.seconds
    step_s = step_seconds(config)
    if seconds is not None:
        num_steps = max(1, int(seconds / step_s))  # a guess, which only spaces the validations
    elif "num_steps" not in given:
        useful = max(_FEWEST_STEPS, _MAX_EPOCHS * num_images // config.batch_size)
        affordable = max(1, int(SECONDS / step_s))
        num_steps = min(num_steps, useful, affordable)
    between = math.ceil(num_val_pixels * _FORWARD_SHARE / (_VAL_SHARE * pixels))
    every = min(num_steps, max(between, math.ceil(num_steps / _MAX_VALIDATIONS)))
    minutes = math.ceil(num_steps * step_s / 60)
    epochs = num_steps * config.batch_size / num_images
    reasons = {
        "num_steps": f"{num_steps:,} steps (--num-steps), about {minutes} min a network on an H100:"
        f" each of the {num_images:,} images is seen {epochs:.0f} times",
        "validate_every": f"a validation every {every:,} steps (--validate-every), at most a tenth "
        "of the training",
    }
    settings = {"num_steps": num_steps, "validate_every": every}
    if seconds is not None:
        del settings["num_steps"], reasons["num_steps"]
    return StepsPlan(
        settings=settings,
        reasons=tuple(reason for name, reason in reasons.items() if name not in given),
    )


def planned_steps(
    config: TrainingConfig,
    train_dataset: SegmentationDataset,
    val_dataset: SegmentationDataset,
    *,
    given: Collection[str],
) -> StepsPlan:
    """Plan how long a retraining lasts from its images, and say so.

    Args:
        config: The recipe, fitted to the images.
        train_dataset: The train split.
        val_dataset: The val split.
        given: Names of the settings that the user gave.
    """
    num_val = min(config.val_images or len(val_dataset), len(val_dataset))
    seen = math.prod(val_dataset.largest_size) * config.image_scale**2
    plan = plan_steps(
        config,
        num_images=len(train_dataset),
        num_val_pixels=round(num_val * seen),
        given=given,
    )
    for reason in plan.reasons:
        announce(f"retrain: plan: {reason}")
    return plan
