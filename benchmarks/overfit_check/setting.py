"""What each network is trained with, and what a row says."""

from dataclasses import dataclass

from autoseg.networks import NETWORKS

ARCHITECTURE = "autodeeplab_paper"
"""The published Auto-DeepLab, an architecture that is shipped."""

NAMES = (*NETWORKS, ARCHITECTURE)
"""What is checked: every fixed network, and the published architecture."""

GRID_STRIDE = {
    "segnet_vgg16": 1,
    "segnet_basic": 1,
    "unet": 1,
    "deconvnet_vgg16": 1,
    "fc_densenet67": 1,
    "fc_densenet103": 1,
    "fcn16s_vgg16": 16,
    "deeplabv3_resnet50": 16,
    "deeplabv3_resnet101": 16,
    "deeplabv3_mobilenet_v2": 16,
    "deeplabv3_mobilenet_v2_without_3x3": 16,
    "fcn32s_vgg16": 32,
    "fcn_alexnet": 32,
}
"""Pixels of the image a side for each position of the finest map that a network classifies; all
others have 4, or 8. (ICNet and DUC have finer logits, but make them of maps at stride 8.)"""

_SMALLEST_SCALE = {"deconvnet_vgg16": 14}
_SMALLEST_SCALE_OF_OTHERS = 2
"""What leaves batch norm enough positions. Five poolings of a smaller image leave none. In images
of up to 224 x 224, DeconvNet's fully connected layers see one position: of 4 images, batch norm
would keep 4 / 3 of the variance that it trains with, and predict with another network."""


def image_scale(name: str) -> int:
    """Choose the factor by which a network's images are enlarged.

    A network cannot draw what is finer than its grid: at stride 32 the best possible logits reach a
    mean IoU of 0.6 on images of 96 x 128. So the images are small, and are enlarged until a
    position of the grid stands for at most 4/3 x 4/3 pixels of the label.

    Args:
        name: One of `NAMES`.
    """
    smallest = _SMALLEST_SCALE.get(name, _SMALLEST_SCALE_OF_OTHERS)
    return max(smallest, GRID_STRIDE.get(name, 8) * 3 // 4)


_STEPS_FACTOR = {"deconvnet_vgg16": 2}
"""Networks that need more steps than the others: DeconvNet, the deepest, was at a cross-entropy of
0.1 and a mean IoU of 0.79 where all others had finished."""


def num_steps(name: str, steps: int) -> int:
    """Choose a network's number of steps: a multiple of `steps` for a few."""
    return steps * _STEPS_FACTOR.get(name, 1)


WITHOUT_BATCH_NORM = (
    "fcn32s_vgg16",
    "fcn16s_vgg16",
    "fcn8s_vgg16",
    "fcn_alexnet",
    "unet",
    "deeplab_largefov_vgg16",
    "deeplab_7x7_vgg16",
    "deeplab_4x4_vgg16",
    "deeplabv2_vgg16",
)


def learning_rate(name: str, rate: float) -> float:
    """Choose a network's initial learning rate: half of `rate` where there is no batch norm.

    Nothing then bounds the maps, and the first steps are lost: with 0.4 FCN-8s was at a mean IoU of
    0.71 after 250 steps, with 0.2 at 0.99 after 300.
    """
    return rate / 2 if name in WITHOUT_BATCH_NORM else rate


@dataclass(frozen=True, kw_only=True, slots=True)
class OverfitRow:
    """One network. None means that it was not measured."""

    network: str
    """Name."""
    num_params: int
    """Values of all parameters, in eval mode."""
    image_scale: int
    """Factor on the images' sides."""
    learning_rate: float
    """Learning rate of the first step."""
    num_steps: int
    """Steps of the training."""
    cpu_seconds: float | None
    """Processor time of the training, start and validation included; None if it was resumed."""
    miou: float | None
    """Mean IoU on the training images, eval mode, last weights; None if the training failed."""
    num_averaged: int | None
    """Classes in the mean IoU."""
    pixel_accuracy: float | None
    """Share of the training images' labelled pixels that are right."""
    cross_entropy: float | None
    """Mean over the labelled pixels at the label's size, eval mode, in nats."""
    is_passed: bool
    """Whether the mean IoU reached the goal."""
    failure: str | None
    """Why the training failed."""
    commit: str | None
    """Revision that measured it, with "+" if files had been changed; None outside a checkout."""
