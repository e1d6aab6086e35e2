"""Settings of a training's optimizer, and of what makes a short training go further."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from autoseg.config.ranges import Count, CountOrNone, Range, Share

OptimizerName = Literal["sgd", "adamw"]

BatchNormStatistics = Literal["synced", "per-device", "frozen"]
"""Which images the statistics of batch norm are of."""


@dataclass(frozen=True, kw_only=True)
class OptimisationConfig:
    """The optimizer, batch norm, and five switches, all off as in the papers of the networks."""

    optimizer: OptimizerName = "sgd"
    """sgd with momentum, or adamw (Loshchilov and Hutter 2019), which takes a learning rate of
    about 0.001 and `momentum` as its first beta."""
    warmup_steps: CountOrNone = 0
    """Steps over which the learning rate rises linearly to where its decay is (Goyal et al. 2017,
    section 2.2); 0 is off."""
    ema_decay: Annotated[float, Range(low=0, high=1, without_high=True)] = 0.0
    """Decay of the exponential moving average of weights and batch norm statistics that is
    validated and saved in place of the weights themselves, for example 0.999; 0 is off."""
    colour_jitter: Annotated[float, Range(low=0, high=1, without_high=True)] = 0.25
    """Strength of the random changes of brightness, contrast and saturation: factors are drawn
    from 1 - this to 1 + this; 0 is off."""
    cutmix: Share = 0.0
    """Share of the steps in which a rectangle of each image, with its labels, is taken from
    another image of the batch (Yun et al. 2019; French et al. 2020 for segmentation); 0 is off."""
    accumulate: Count = 1
    """Parts in which each batch passes the network, one after the other, before a step: the
    gradient of the whole batch in the memory of a part. Batch norm takes the statistics of each
    part, unless it is frozen."""
    batch_norm: BatchNormStatistics = "synced"
    """Statistics of batch norm in training: synced, those of the whole batch, however many
    processes share it (torchrun); per-device, those of each process's part, which is faster, and
    in one process the same; frozen, those that --weights brought."""


WITHOUT_EFFECT: dict[str, Any] = {
    "optimizer": "sgd",
    "warmup_steps": 0,
    "ema_decay": 0.0,
    "colour_jitter": 0.25,
    "cutmix": 0.0,
    "accumulate": 1,
    "batch_norm": "synced",
    "label_smoothing": 0.0,
}
"""What trainings did before these settings came: at these values an older checkpoint goes on."""
