"""Settings of the loss: what cannot work, and what would be ignored, is refused by name."""

import pytest

from autoseg.config import LossConfig, TrainingConfig
from autoseg.errors import UsageError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": ()}, r"loss = \(\): name at least one of cross_entropy, focal, ohem, dice, lov"),
        ({"loss": ("dise",)}, r"unknown loss 'dise'; did you mean 'dice'\?"),
        (
            {"loss": ("dice", "focal", "dice")},
            r"loss = dice focal dice: dice is there 2 times; name each loss once\.",
        ),
        (
            {"class_weights": "median"},
            r"unknown rule for class weights 'median'; did you mean 'med",
        ),
        (
            {"loss": ("dice", "lovasz"), "class_weights": "median_frequency"},
            r"class_weights = median_frequency: only cross_entropy, focal, ohem use it, and the "
            r"loss is dice \+ lovasz; leave it out, or add one of them to --loss\.",
        ),
        (
            {"focal_gamma": 2.0},
            r"focal_gamma = 2\.0: only the loss focal uses it, and the loss is cross_entropy; "
            r"leave it out, or add focal to --loss\.",
        ),
        ({"loss": ("focal",), "ohem_threshold": 0.7}, r"ohem_threshold = 0\.7: only the loss ohem"),
        ({"loss": ("focal",), "ohem_min_kept": 0.1}, r"ohem_min_kept = 0\.1: only the loss ohem"),
        (
            {"loss": ("focal",), "focal_gamma": -1.0},
            r"focal_gamma = -1\.0: it must be at least 0, or none\.",
        ),
        ({"loss": ("focal",), "focal_gamma": float("nan")}, r"focal_gamma = nan: it must be at"),
        ({"loss": ("focal",), "focal_gamma": float("inf")}, r"focal_gamma = inf: it must be at"),
        (
            {"loss": ("ohem",), "ohem_threshold": 0.0},
            r"ohem_threshold = 0\.0: it must be above 0 and at most 1, or none\.",
        ),
        ({"loss": ("ohem",), "ohem_threshold": 1.1}, r"ohem_threshold = 1\.1: it must be above 0"),
        (
            {"loss": ("ohem",), "ohem_min_kept": 100_000},
            r"ohem_min_kept = 100000: it must be from 0 to 1, or none",
        ),
        ({"loss": ("ohem",), "ohem_min_kept": -0.1}, r"ohem_min_kept = -0\.1: it must be from 0"),
    ],
)
def test_impossible_and_unused_settings_are_refused_by_name(settings, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        LossConfig(**settings)
    with pytest.raises(UsageError, match=f"^{message}"):
        TrainingConfig(num_steps=1, batch_size=2, crop_size=(8, 8), **settings)


def test_one_weighted_term_is_enough_for_class_weights():
    LossConfig(loss=("dice", "cross_entropy"), class_weights="median_frequency")
