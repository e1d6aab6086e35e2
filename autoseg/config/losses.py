"""Settings of the loss of a training."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, get_args

from autoseg.config.field_types import require_in_range
from autoseg.config.ranges import Range, Share, Weight
from autoseg.errors import UsageError, unknown_name

LossName = Literal["cross_entropy", "focal", "ohem", "dice", "lovasz"]
"""A key of `autoseg.training.LOSSES`."""

CLASS_WEIGHTED: tuple[LossName, ...] = ("cross_entropy", "focal", "ohem")
"""Losses of single pixels, which take `class_weights`. Dice and Lovasz-softmax average over
classes, each of which counts alike already."""

PIXEL_MEANS: tuple[LossName, ...] = ("cross_entropy", "focal")
"""Losses that are means over all labelled pixels, so that parts of a batch add up."""

ClassWeightRule = Literal["median_frequency", "median_frequency_present", "segnet_camvid", "enet"]
"""How the weight of a class is found: median frequency balancing, with the frequency among all
labelled pixels or among those of the images that show the class; the weights of SegNet's release
for CamVid; or ENet's, which are bounded."""


class LossOption(NamedTuple):
    """A number that one loss takes."""

    loss: LossName
    """The loss."""
    keyword: str
    """The function's argument."""


LOSS_OPTIONS: dict[str, LossOption] = {
    "focal_gamma": LossOption("focal", "gamma"),
    "ohem_threshold": LossOption("ohem", "threshold"),
    "ohem_min_kept": LossOption("ohem", "min_kept"),
}
"""The options, each by the field of `LossConfig` that sets it."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What a training minimises; auxiliary classifiers have the same loss, times their weight."""

    loss: tuple[LossName, ...] = ("cross_entropy",)
    """What to minimise; several are added, each with weight 1, for example cross_entropy dice.
    lovasz alone learns slowly from random weights."""
    class_weights: ClassWeightRule | None = None
    """Weights of the classes in cross_entropy, focal and ohem, from the labels of the train split:
    median_frequency (by the share of all labelled pixels), median_frequency_present (by the share
    in the images that show the class; SegNet's text), segnet_camvid (SegNet's release, for
    CamVid's 11 classes) or enet (1 / ln(1.02 + share), from 1.4 to 50; ENet)."""
    label_smoothing: Annotated[float, Range(low=0, high=1, without_high=True)] = 0.0
    """Share of the target that cross_entropy spreads evenly over all classes (Szegedy et al. 2016,
    section 7), for example 0.1; 0 is off."""
    focal_gamma: Weight | None = None
    """Focus of the focal loss; none: 2, as published."""
    ohem_threshold: Annotated[float, Range(low=0, high=1, without_low=True)] | None = None
    """Largest probability of the true class at which ohem calls a pixel hard; none: 0.7."""
    ohem_min_kept: Share | None = None
    """Smallest share of a batch's labelled pixels that ohem keeps; none: 1/16."""

    def __post_init__(self) -> None:
        self._check_terms()
        self._check_class_weights()
        if self.label_smoothing > 0 and "cross_entropy" not in self.loss:
            raise UsageError(
                f"label_smoothing = {self.label_smoothing:g}: only the loss cross_entropy uses it, "
                f"and the loss is {' + '.join(self.loss)}; leave it out, or add cross_entropy to "
                "--loss."
            )
        for name, option in LOSS_OPTIONS.items():
            value = getattr(self, name)
            if value is not None and option.loss not in self.loss:
                raise UsageError(
                    f"{name} = {value}: only the loss {option.loss} uses it, and the loss is "
                    f"{' + '.join(self.loss)}; leave it out, or add {option.loss} to --loss."
                )
        require_in_range(self)

    def _check_terms(self) -> None:
        if not self.loss:
            raise UsageError(f"loss = (): name at least one of {', '.join(get_args(LossName))}.")
        for name in self.loss:
            if name not in get_args(LossName):
                raise unknown_name("loss", name, get_args(LossName))
            if self.loss.count(name) > 1:
                raise UsageError(
                    f"loss = {' '.join(self.loss)}: {name} is there {self.loss.count(name)} times; "
                    "name each loss once."
                )

    def _check_class_weights(self) -> None:
        if self.class_weights is None:
            return
        rules = get_args(ClassWeightRule)
        if self.class_weights not in rules:
            raise unknown_name("rule for class weights", self.class_weights, rules)
        if not set(CLASS_WEIGHTED) & set(self.loss):
            raise UsageError(
                f"class_weights = {self.class_weights}: only {', '.join(CLASS_WEIGHTED)} use it, "
                f"and the loss is {' + '.join(self.loss)}; leave it out, or add one of them to "
                "--loss."
            )
