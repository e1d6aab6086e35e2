"""Settings of the loss of a training."""

import math
from dataclasses import dataclass
from typing import get_args

from autoseg.errors import UsageError, unknown_name
from autoseg.training.class_weights import ClassWeightRule
from autoseg.training.losses import (
    CLASS_WEIGHTED,
    LOSS_OPTIONS,
    LOSSES,
    LossName,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """What a training minimises; auxiliary classifiers have the same loss, times their weight."""

    loss: tuple[LossName, ...] = ("cross_entropy",)
    """What to minimise; several are added, each with weight 1, for example cross_entropy dice.
    lovasz alone learns slowly from random weights."""
    class_weights: ClassWeightRule | None = None
    """Weights of the classes in cross_entropy, focal and ohem, from the labels of the train split:
    median_frequency (by the share of all labelled pixels), median_frequency_present (by the share
    in the images that show the class; SegNet's text) or segnet_camvid (SegNet's release, for
    CamVid's 11 classes)."""
    focal_gamma: float | None = None
    """Focus of the focal loss, at least 0; none: 2, as published."""
    ohem_threshold: float | None = None
    """Largest probability of the true class at which ohem calls a pixel hard, in (0, 1]; none:
    0.7."""
    ohem_min_kept: float | None = None
    """Smallest share of a batch's labelled pixels that ohem keeps, in [0, 1]; none: 1/16."""

    def __post_init__(self) -> None:
        self._check_terms()
        self._check_class_weights()
        for name, option in LOSS_OPTIONS.items():
            value = getattr(self, name)
            if value is not None and option.loss not in self.loss:
                raise UsageError(
                    f"{name} = {value}: only the loss {option.loss} uses it, and the loss is "
                    f"{' + '.join(self.loss)}; leave it out, or add {option.loss} to --loss."
                )
        if self.focal_gamma is not None and not 0 <= self.focal_gamma < math.inf:
            raise UsageError(f"focal_gamma = {self.focal_gamma}: it must be finite and at least 0.")
        if self.ohem_threshold is not None and not 0 < self.ohem_threshold <= 1:
            raise UsageError(
                f"ohem_threshold = {self.ohem_threshold}: it is a probability and must be above 0 "
                "and at most 1."
            )
        if self.ohem_min_kept is not None and not 0 <= self.ohem_min_kept <= 1:
            raise UsageError(
                f"ohem_min_kept = {self.ohem_min_kept}: it is a share of the labelled pixels and "
                "must be from 0 to 1."
            )

    def _check_terms(self) -> None:
        if not self.loss:
            raise UsageError(f"loss = (): name at least one of {', '.join(LOSSES)}.")
        for name in self.loss:
            if name not in LOSSES:
                raise unknown_name("loss", name, LOSSES)
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
