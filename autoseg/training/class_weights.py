"""Weights that balance rare and frequent classes, from the labels of the train split."""

import math
from collections.abc import Sequence
from statistics import median

import torch

from autoseg.config import ClassWeightRule
from autoseg.data import SegmentationDataset
from autoseg.errors import UsageError

SEGNET_CAMVID: dict[str, float] = {
    "sky": 0.2595,
    "building": 0.1826,
    "pole": 4.5640,
    "road": 0.1417,
    "pavement": 0.9051,
    "tree": 0.3826,
    "sign": 9.6446,
    "fence": 1.8418,
    "car": 0.6823,
    "pedestrian": 6.2478,
    "cyclist": 7.3614,
}
"""As printed in the release of Badrinarayanan, Kendall, Cipolla 2017, "SegNet", arXiv 1511.00561.

Neither rule gives them on the public train split: with "median_frequency" pole and road agree to
three digits, with "median_frequency_present" no class does.
"""


def class_weights(rule: ClassWeightRule, dataset: SegmentationDataset) -> tuple[float, ...]:
    """Find the weight of each class.

    Args:
        rule: "median_frequency": the frequency of a class is its share of all labelled pixels.
            "median_frequency_present": its share of the labelled pixels of those images that show
            it, as Eigen and Fergus and SegNet define it. "segnet_camvid": `SEGNET_CAMVID`. "enet":
            1 / ln(1.02 + share of all labelled pixels).
        dataset: The train split.

    Returns:
        One weight a class, in the order of the classes; the same in every process.

    Raises:
        UsageError: If the rule does not fit the dataset.

    Source: Eigen, Fergus 2015, "Predicting Depth, Surface Normals and Semantic Labels with a Common
    Multi-Scale Convolutional Architecture", arXiv 1411.4734; SegNet, arXiv 1511.00561; Paszke et
    al. 2016, "ENet", arXiv 1606.02147, section 5.2.
    """
    require_rule_fits(rule, dataset)
    if rule == "segnet_camvid":
        return tuple(SEGNET_CAMVID.values())
    frequencies = class_frequencies(dataset, where_present=rule == "median_frequency_present")
    if not any(frequencies):
        raise UsageError(
            f"--class-weights {rule}: no pixel of the {dataset.split} split of {dataset.name} has "
            "a class; leave the option out, or check the labels."
        )
    if rule == "enet":
        return enet_weights(frequencies)
    return median_frequency_weights(frequencies)


def require_rule_fits(rule: ClassWeightRule | None, dataset: SegmentationDataset) -> None:
    """Refuse SegNet's weights for other classes than theirs; reads no image.

    Raises:
        UsageError: If the dataset's classes are not CamVid's 11 in their order.
    """
    if rule == "segnet_camvid" and dataset.class_names != tuple(SEGNET_CAMVID):
        raise UsageError(
            "--class-weights segnet_camvid: SegNet's weights are for the classes "
            f"{', '.join(SEGNET_CAMVID)}, in this order; those of {dataset.name} are "
            f"{', '.join(dataset.class_names)}. Use median_frequency or median_frequency_present, "
            "which count the labels."
        )


def class_frequencies(dataset: SegmentationDataset, *, where_present: bool) -> tuple[float, ...]:
    """Count labels in one pass over the images, as they are stored, without augmentation.

    Args:
        dataset: The train split.
        where_present: Divide by the labelled pixels of the images that show the class, instead of
            by all labelled pixels.

    Returns:
        Share of the labelled pixels that have the class, one a class, in [0, 1]; 0 for a class that
        never occurs. Ignored pixels are not labelled pixels.
    """
    pixels = torch.zeros(dataset.num_classes, dtype=torch.int64)
    labelled = torch.zeros_like(pixels)
    for index in range(len(dataset)):
        target = dataset[index].target
        counts = torch.bincount(
            target[target != dataset.ignore_index], minlength=dataset.num_classes
        )
        pixels += counts
        labelled += counts.sum() * (counts > 0) if where_present else counts.sum()
    return tuple((pixels.double() / labelled.clamp(min=1)).tolist())


def median_frequency_weights(frequencies: Sequence[float]) -> tuple[float, ...]:
    """Divide the median frequency by the frequency of each class.

    Args:
        frequencies: One a class, at least one of them positive.

    Returns:
        One weight a class; 1 at the median, which is the mean of the two middle frequencies where
        their number is even. A class of frequency 0 is left out of the median and has weight 0: no
        pixel could make use of another.
    """
    middle = median(frequency for frequency in frequencies if frequency > 0)
    return tuple(middle / frequency if frequency > 0 else 0.0 for frequency in frequencies)


def enet_weights(frequencies: Sequence[float]) -> tuple[float, ...]:
    """Bound the weights: 1 / ln(1.02 + frequency) lies between 1.42 and 50.5.

    Args:
        frequencies: Share of all labelled pixels, one a class, in [0, 1].

    Source: Paszke et al. 2016, "ENet", arXiv 1606.02147, section 5.2, with c = 1.02.
    """
    return tuple(1 / math.log(1.02 + frequency) for frequency in frequencies)
