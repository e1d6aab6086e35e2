"""Networks by name, and the one function that builds a network from a name or an architecture."""

from collections.abc import Callable

from torch import nn

from autoseg.architecture import AnyArchitecture, Architecture, CellArchitecture
from autoseg.errors import UsageError, unknown_name
from autoseg.networks.auto_deeplab import AutoDeepLab
from autoseg.networks.darts_cells import CellNetwork
from autoseg.networks.deconvnet import deconvnet_vgg16
from autoseg.networks.deeplabv1 import (
    deeplab_4x4_vgg16,
    deeplab_7x7_vgg16,
    deeplab_largefov_vgg16,
)
from autoseg.networks.deeplabv2 import (
    deeplabv2_resnet101,
    deeplabv2_resnet101_msc,
    deeplabv2_vgg16,
)
from autoseg.networks.deeplabv3 import (
    deeplabv3_mobilenet_v2,
    deeplabv3_mobilenet_v2_without_3x3,
    deeplabv3_resnet50,
    deeplabv3_resnet50_torchvision,
    deeplabv3_resnet101,
    deeplabv3_resnet101_torchvision,
)
from autoseg.networks.deeplabv3plus import (
    deeplabv3plus_mobilenet_v2,
    deeplabv3plus_resnet50,
    deeplabv3plus_resnet101,
    deeplabv3plus_xception65,
)
from autoseg.networks.duc_hdc import duc_hdc_resnet101, resnet152_duc, resnet152_duc_hdc
from autoseg.networks.encoders import ENCODERS, Encoder
from autoseg.networks.families import FAMILIES
from autoseg.networks.fc_densenet import fc_densenet67, fc_densenet103
from autoseg.networks.fcn import (
    fcn8s_vgg16,
    fcn16s_vgg16,
    fcn32s_vgg16,
    fcn_alexnet,
    fcn_resnet50,
    fcn_resnet101,
)
from autoseg.networks.icnet import icnet_pruned, icnet_resnet50
from autoseg.networks.pspnet import pspnet_resnet50, pspnet_resnet101
from autoseg.networks.segnet import segnet_basic, segnet_vgg16
from autoseg.networks.unet import unet
from autoseg.ops import set_image_channels_
from autoseg.ops.image_channels import RGB_CHANNELS

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "fcn32s_vgg16": fcn32s_vgg16,
    "fcn16s_vgg16": fcn16s_vgg16,
    "fcn8s_vgg16": fcn8s_vgg16,
    "fcn_alexnet": fcn_alexnet,
    "fcn_resnet50": fcn_resnet50,
    "fcn_resnet101": fcn_resnet101,
    "segnet_vgg16": segnet_vgg16,
    "segnet_basic": segnet_basic,
    "unet": unet,
    "deconvnet_vgg16": deconvnet_vgg16,
    "deeplab_largefov_vgg16": deeplab_largefov_vgg16,
    "deeplab_7x7_vgg16": deeplab_7x7_vgg16,
    "deeplab_4x4_vgg16": deeplab_4x4_vgg16,
    "deeplabv2_vgg16": deeplabv2_vgg16,
    "deeplabv2_resnet101": deeplabv2_resnet101,
    "deeplabv2_resnet101_msc": deeplabv2_resnet101_msc,
    "pspnet_resnet50": pspnet_resnet50,
    "pspnet_resnet101": pspnet_resnet101,
    "fc_densenet67": fc_densenet67,
    "fc_densenet103": fc_densenet103,
    "deeplabv3_resnet101": deeplabv3_resnet101,
    "deeplabv3_resnet50": deeplabv3_resnet50,
    "deeplabv3_resnet101_torchvision": deeplabv3_resnet101_torchvision,
    "deeplabv3_resnet50_torchvision": deeplabv3_resnet50_torchvision,
    "deeplabv3_mobilenet_v2": deeplabv3_mobilenet_v2,
    "deeplabv3_mobilenet_v2_without_3x3": deeplabv3_mobilenet_v2_without_3x3,
    "deeplabv3plus_resnet101": deeplabv3plus_resnet101,
    "deeplabv3plus_resnet50": deeplabv3plus_resnet50,
    "deeplabv3plus_mobilenet_v2": deeplabv3plus_mobilenet_v2,
    "deeplabv3plus_xception65": deeplabv3plus_xception65,
    "duc_hdc_resnet101": duc_hdc_resnet101,
    "resnet152_duc": resnet152_duc,
    "resnet152_duc_hdc": resnet152_duc_hdc,
    "icnet_resnet50": icnet_resnet50,
    "icnet_pruned": icnet_pruned,
}
"""Builders of the fixed reference networks: `builder(num_classes, *, width=1.0)`."""


def build_network(
    name_or_architecture: str | AnyArchitecture,
    *,
    num_classes: int,
    width: float = 1.0,
    encoder: str | Encoder | None = None,
    filter_multiplier: int | None = None,
    drop_path_keep: float | None = None,
    in_channels: int = RGB_CHANNELS,
) -> nn.Module:
    """Build a fixed network, a family over an encoder, or an architecture's, with random weights.

    In eval mode every network maps normalised images (N, C, H, W) of any size to logits
    (N, K, H, W); in training mode it returns such logits or `TrainingLogits`. The weights come from
    torch's global random generator.

    Args:
        name_or_architecture: A name in `NETWORKS` or `FAMILIES`, or what a search found.
        num_classes: K, the number of evaluated classes, at least 1.
        width: Factor on every channel count; in an architecture on those that F does not decide,
            stem and head; over an encoder that is given as a module on the decoder's alone. 1.0 is
            the paper's.
        encoder: For families only: a name in `ENCODERS`, or an encoder that is built (of one's own
            or of another library: `AdaptedEncoder`). Where family and name are a published pair,
            as "deeplabv3plus" and "resnet50", the published network is built.
        filter_multiplier: For architectures only: F, a node has F * stride / 4 channels (20 if not
            given, the paper's smallest).
        drop_path_keep: For architectures only: probability with which ScheduledDropPath keeps a
            path at the last layer and the end of training (1.0 if not given: no path is dropped).
        in_channels: C, the number of the images' channels. Networks are built for RGB; for others
            `autoseg.ops.set_image_channels_` adapts the convolutions that read the image, also of
            an encoder with trained weights.

    Raises:
        UsageError: If a name is unknown, `num_classes` is below 1, a family has no encoder, or an
            option belongs to another kind of network.
    """
    if num_classes < 1:
        raise UsageError(f"build_network: num_classes {num_classes}; at least 1 is needed.")
    if in_channels < 1:
        raise UsageError(f"build_network: in_channels {in_channels}; at least 1 is needed.")
    network = _build_for_rgb(
        name_or_architecture,
        num_classes=num_classes,
        width=width,
        encoder=encoder,
        filter_multiplier=filter_multiplier,
        drop_path_keep=drop_path_keep,
    )
    set_image_channels_(network, in_channels)
    return network


def _build_for_rgb(
    name_or_architecture: str | AnyArchitecture,
    *,
    num_classes: int,
    width: float,
    encoder: str | Encoder | None,
    filter_multiplier: int | None,
    drop_path_keep: float | None,
) -> nn.Module:
    if isinstance(name_or_architecture, Architecture | CellArchitecture):
        _refuse({"encoder": encoder}, "an architecture", "a family")
        return _build_architecture(
            name_or_architecture,
            num_classes=num_classes,
            filter_multiplier=20 if filter_multiplier is None else filter_multiplier,
            width=width,
            drop_path_keep=1.0 if drop_path_keep is None else drop_path_keep,
        )
    for_architectures = {
        "filter_multiplier": filter_multiplier,
        "drop_path_keep": drop_path_keep,
    }
    name = name_or_architecture
    require_network(name, encoder=encoder)
    if encoder is None:
        _refuse(for_architectures, f"the fixed network {name!r}", "an architecture")
        return NETWORKS[name](num_classes, width=width)
    _refuse(for_architectures, f"the family {name!r}", "an architecture")
    return _build_family(name, encoder, num_classes, width=width)


def _build_architecture(
    architecture: AnyArchitecture,
    *,
    num_classes: int,
    filter_multiplier: int,
    width: float,
    drop_path_keep: float,
) -> nn.Module:
    build = CellNetwork if isinstance(architecture, CellArchitecture) else AutoDeepLab
    return build(
        architecture,  # pyright: ignore[reportArgumentType]  # each class has its own kind
        num_classes=num_classes,
        filter_multiplier=filter_multiplier,
        width=width,
        drop_path_keep=drop_path_keep,
    )


def require_network(name: str, *, encoder: str | Encoder | None = None) -> None:
    """Refuse a name, or a name and an encoder, of which `build_network` would build nothing.

    Raises:
        UsageError: If a name is unknown, a family has no encoder, or a fixed network has one.
    """
    if name in FAMILIES:
        if encoder is None:
            raise UsageError(
                f"build_network: {name!r} is a family of networks; name its encoder as well, for "
                f"example encoder='resnet50'. Known: {', '.join(sorted(ENCODERS))}."
            )
        if isinstance(encoder, str) and encoder not in ENCODERS:
            raise unknown_name("encoder", encoder, ENCODERS)
        return
    if name not in NETWORKS:
        raise unknown_name("network", name, [*NETWORKS, *FAMILIES])
    _refuse({"encoder": encoder}, f"the fixed network {name!r}", "a family")


def _build_family(
    name: str, encoder: str | Encoder, num_classes: int, *, width: float
) -> nn.Module:
    """Build a family's network, the published one where there is one."""
    family = FAMILIES[name]
    if isinstance(encoder, Encoder):
        return family.build(encoder, num_classes, width=width)
    if published := NETWORKS.get(f"{name}_{encoder}"):
        return published(num_classes, width=width)
    built = ENCODERS[encoder](num_classes=None, output_stride=family.output_stride, width=width)
    return family.build(built, num_classes, width=width)


def _refuse(options: dict[str, object], asked: str, owner: str) -> None:
    """Raise for the first option that was given though it belongs to the other kind."""
    for name, value in options.items():
        if value is not None:
            shown = value if isinstance(value, str | int | float) else type(value).__name__
            raise UsageError(
                f"build_network: {name} {shown!r} was given for {asked}, but {name} is an option "
                f"of {owner}; leave it out."
            )
