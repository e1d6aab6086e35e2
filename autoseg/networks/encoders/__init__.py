"""ImageNet networks, whole or without their classifiers."""

from collections.abc import Callable
from functools import partial

from autoseg.networks.encoders.adapted import AdaptedEncoder
from autoseg.networks.encoders.alexnet import AlexNet
from autoseg.networks.encoders.densenet import (
    DENSENET121,
    DENSENET161,
    DENSENET169,
    DENSENET201,
    DenseNet,
)
from autoseg.networks.encoders.encoder import Encoder
from autoseg.networks.encoders.googlenet import GoogLeNet
from autoseg.networks.encoders.mobilenet_v2 import MobileNetV2
from autoseg.networks.encoders.resnet import (
    RESNET18,
    RESNET34,
    RESNET50,
    RESNET101,
    RESNET152,
    ResNetClassifier,
)
from autoseg.networks.encoders.vgg import VGG
from autoseg.networks.encoders.xception65 import Xception65

ENCODERS: dict[str, Callable[..., Encoder]] = {
    "alexnet": AlexNet,
    "vgg11": partial(VGG, 11),
    "vgg13": partial(VGG, 13),
    "vgg16": partial(VGG, 16),
    "vgg19": partial(VGG, 19),
    "vgg11_bn": partial(VGG, 11, batch_norm=True),
    "vgg13_bn": partial(VGG, 13, batch_norm=True),
    "vgg16_bn": partial(VGG, 16, batch_norm=True),
    "vgg19_bn": partial(VGG, 19, batch_norm=True),
    "googlenet": GoogLeNet,
    "resnet18": partial(ResNetClassifier, RESNET18, block="basic"),
    "resnet34": partial(ResNetClassifier, RESNET34, block="basic"),
    "resnet50": partial(ResNetClassifier, RESNET50),
    "resnet101": partial(ResNetClassifier, RESNET101),
    "resnet152": partial(ResNetClassifier, RESNET152),
    "se_resnet50": partial(ResNetClassifier, RESNET50, block="se_bottleneck"),
    "se_resnet101": partial(ResNetClassifier, RESNET101, block="se_bottleneck"),
    "densenet121": partial(DenseNet, DENSENET121),
    "densenet161": partial(DenseNet, DENSENET161),
    "densenet169": partial(DenseNet, DENSENET169),
    "densenet201": partial(DenseNet, DENSENET201),
    "mobilenet_v2": MobileNetV2,
    "xception65": Xception65,
}
"""Encoders by name: `builder(num_classes=1000, output_stride=32, width=1.0)`, all by keyword.

With `num_classes` they classify whole images and have torchvision's state dict, where torchvision
has the network; with None they have no classifier.
"""

__all__ = ["ENCODERS", "AdaptedEncoder", "Encoder"]
