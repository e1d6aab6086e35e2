"""Parameters of published networks as closed forms, layer by layer from the papers' tables."""

from collections.abc import Sequence
from itertools import pairwise

VGG16 = (3, 64, 64, 128, 128, 256, 256, 256, *(512,) * 6)
"""Channels before and after each of the 13 convolutions."""
VGG16_MIRROR = (*(512,) * 6, 256, 256, 256, 128, 128, 64, 64)
"""The same backwards, without the image."""


def conv(kernel: int, channels: int, out_channels: int) -> int:
    """Count a convolution with its bias."""
    return kernel**2 * channels * out_channels + out_channels


def conv_bn(kernel: int, channels: int, out_channels: int) -> int:
    """Count a convolution without bias and its batch norm."""
    return kernel**2 * channels * out_channels + 2 * out_channels


def chain(kernel: int, channels: Sequence[int], *, num_norm: int = 0) -> int:
    """Count convolutions with bias one after another, and `num_norm` parameters a channel."""
    return sum(conv(kernel, a, b) + num_norm * b for a, b in pairwise(channels))


def resnet(num_blocks: tuple[int, ...], *, stem: str, base: int = 64) -> int:
    """Count a ResNet without its classifier."""
    if stem == "7x7":
        total, channels = conv_bn(7, 3, base), base
    else:
        total = conv_bn(3, 3, base) + conv_bn(3, base, base) + conv_bn(3, base, 2 * base)
        channels = 2 * base
    for stage, count in enumerate(num_blocks):
        inner = base * 2**stage
        total += conv_bn(1, channels, 4 * inner)  # the projection of the first block
        for _ in range(count):
            total += conv_bn(1, channels, inner) + conv_bn(3, inner, inner)
            total += conv_bn(1, inner, 4 * inner)
            channels = 4 * inner
    return total


def deeplabv3plus(num_blocks: tuple[int, ...], num_classes: int) -> int:
    aspp = 2 * conv_bn(1, 2048, 256) + 3 * conv_bn(3, 2048, 256) + conv_bn(1, 1280, 256)
    decoder = conv_bn(1, 256, 48) + conv_bn(3, 304, 256) + conv_bn(3, 256, 256)
    return resnet(num_blocks, stem="7x7") + aspp + decoder + conv(1, 256, num_classes)


def resnet152_duc(num_classes: int) -> int:
    logits = 64 * num_classes
    return resnet((3, 8, 36, 3), stem="7x7") + conv(3, 2048, logits) + 2 * logits


def icnet(base: int, num_classes: int) -> int:
    coarse = 8 * base
    fusion = conv_bn(3, coarse, 128) + conv_bn(1, coarse, 128)
    fusion += conv_bn(3, 128, 128) + conv_bn(1, 64, 128)
    detail = conv_bn(3, 3, 32) + conv_bn(3, 32, 32) + conv_bn(3, 32, 64)
    trunk = resnet((3, 4, 6, 3), stem="3x3", base=base) + conv_bn(1, 32 * base, coarse)
    return trunk + fusion + detail + conv(1, 128, num_classes)


def pspnet(num_blocks: tuple[int, ...], num_classes: int) -> int:
    pyramid = 4 * conv_bn(1, 2048, 512) + conv_bn(3, 4096, 512)
    return resnet(num_blocks, stem="3x3") + pyramid + conv(1, 512, num_classes)


def vgg16_fully_convolutional(context: int = 4096, kernel: int = 7) -> int:
    """Count VGG16's convolutions and its first two fully connected layers."""
    return chain(3, VGG16) + conv(kernel, 512, context) + conv(1, context, context)


def fcn_vgg16(num_classes: int, *, skips: Sequence[int], kernels: Sequence[int]) -> int:
    scores = sum(conv(1, channels, num_classes) for channels in (4096, *skips))
    fixed = sum(kernel**2 * num_classes**2 for kernel in kernels)
    return vgg16_fully_convolutional() + scores + fixed


def fcn_alexnet(num_classes: int) -> int:
    # Two groups halve the channels that a kernel reads.
    total = conv(11, 3, 96) + conv(5, 48, 256) + conv(3, 256, 384)
    total += conv(3, 192, 384) + conv(3, 192, 256)
    total += conv(6, 256, 4096) + conv(1, 4096, 4096) + conv(1, 4096, num_classes)
    return total + 63**2 * num_classes**2


def fcn_resnet(num_blocks: tuple[int, ...], num_classes: int) -> int:
    return resnet(num_blocks, stem="7x7") + conv_bn(3, 2048, 512) + conv(1, 512, num_classes)


def segnet_vgg16(num_classes: int) -> int:
    both = chain(3, VGG16, num_norm=2) + chain(3, VGG16_MIRROR, num_norm=2)
    return both + conv(3, 64, num_classes)


def segnet_basic(num_classes: int) -> int:
    layers = chain(7, (3, *(64,) * 4), num_norm=2) + chain(7, (64,) * 5, num_norm=2)
    return layers + conv(1, 64, num_classes)


def deconvnet_vgg16(num_classes: int) -> int:
    context = conv(7, 512, 4096) + conv(1, 4096, 4096) + conv(7, 4096, 512)
    context += 2 * (4096 + 4096 + 512)
    mirror = chain(3, (*VGG16_MIRROR, 64), num_norm=2)
    return chain(3, VGG16, num_norm=2) + context + mirror + conv(1, 64, num_classes)


def unet(num_classes: int, *, in_channels: int = 3) -> int:
    levels = (64, 128, 256, 512, 1024)
    total = conv(1, 64, num_classes)
    for before, after in pairwise((in_channels, *levels)):
        total += conv(3, before, after) + conv(3, after, after)
    for fine, coarse in pairwise(levels):
        total += conv(2, coarse, fine) + conv(3, 2 * fine, fine) + conv(3, fine, fine)
    return total


def deeplabv2_vgg16(num_classes: int) -> int:
    branch = conv(3, 512, 1024) + conv(1, 1024, 1024) + conv(1, 1024, num_classes)
    return chain(3, VGG16) + 4 * branch


def fc_densenet(num_layers: Sequence[int], num_classes: int, *, growth: int = 16) -> int:
    """Count the stem, blocks of BN + 3x3, steps down of BN + 1x1, steps up of 3x3 transposed."""

    def layer(kernel: int, channels: int, out_channels: int) -> int:
        return 2 * channels + conv(kernel, channels, out_channels)

    half = len(num_layers) // 2
    total, channels, skips = conv(3, 3, 48), 48, []
    for index, count in enumerate(num_layers):
        if index > half:
            new = num_layers[index - 1] * growth
            total += conv(3, new, new)
            channels = new + skips.pop()
        for _ in range(count):
            total += layer(3, channels, growth)
            channels += growth
        if index < half:
            skips.append(channels)
            total += layer(1, channels, channels)
    return total + conv(1, channels, num_classes)


def deeplabv2_resnet101(num_classes: int) -> int:
    return resnet((3, 4, 23, 3), stem="7x7") + 4 * conv(3, 2048, num_classes)


def aspp(channels: int, *, is_separable: bool = False) -> int:
    count = separable if is_separable else conv_bn
    return 2 * conv_bn(1, channels, 256) + 3 * count(3, channels, 256) + conv_bn(1, 5 * 256, 256)


def separable(kernel: int, channels: int, out_channels: int) -> int:
    """Count a depthwise convolution and a 1x1, each with batch norm."""
    return conv_bn(kernel, 1, channels) + conv_bn(1, channels, out_channels)


def deeplabv3(encoder: int, channels: int, num_classes: int) -> int:
    return encoder + aspp(channels) + conv_bn(3, 256, 256) + conv(1, 256, num_classes)


def mobilenet_v2() -> int:
    """Count table 2 without the last 1x1 convolution."""
    total, channels = conv_bn(3, 3, 32), 32
    rows = (1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)
    for expansion, out_channels, count in rows:
        for _ in range(count):
            inner = expansion * channels
            total += conv_bn(1, channels, inner) if expansion > 1 else 0
            total += separable(3, inner, out_channels)
            channels = out_channels
    return total


def deeplabv3plus_mobilenet_v2(num_classes: int) -> int:
    decoder = conv_bn(1, 24, 48) + conv_bn(3, 304, 256) + conv_bn(3, 256, 256)
    return mobilenet_v2() + aspp(320) + decoder + conv(1, 256, num_classes)


def xception65() -> int:
    total, channels = conv_bn(3, 3, 32) + conv_bn(3, 32, 64), 64
    wide, last = (1536, 1536, 2048), (728, 1024, 1024)
    for row in ((128,) * 3, (256,) * 3, (728,) * 3, *((728,) * 3,) * 16, last, wide):
        if channels != row[-1] and row != wide:
            total += conv_bn(1, channels, row[-1])  # the shortcut's projection
        for out_channels in row:
            total += separable(3, channels, out_channels)
            channels = out_channels
    return total


def deeplabv3plus_xception65(num_classes: int) -> int:
    decoder = conv_bn(1, 256, 48) + separable(3, 304, 256) + separable(3, 256, 256)
    return xception65() + aspp(2048, is_separable=True) + decoder + conv(1, 256, num_classes)
