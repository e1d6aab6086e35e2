"""Families of networks: decoders that read any encoder.

DUC + HDC is none: each position of its map stands for exactly 8 x 8 pixels, which encoders that
round sizes down do not keep. Nor are the networks whose decoder mirrors or repeats the layers of
one encoder: SegNet, DeconvNet, U-Net, ICNet, the DeepLabs before v3.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from autoseg.networks.deeplabv3 import deeplabv3_over
from autoseg.networks.deeplabv3plus import deeplabv3plus_over
from autoseg.networks.fcn import fcn_over
from autoseg.networks.pspnet import pspnet_over


class Family(NamedTuple):
    """A decoder and the stride at which it wants its encoder."""

    build: Callable[..., nn.Module]
    """`build(encoder, num_classes, *, width=1.0)`; the width is the decoder's."""
    output_stride: int
    """Output stride at which encoders are built for it by name: the paper's."""


FAMILIES: dict[str, Family] = {
    "fcn": Family(fcn_over, output_stride=8),
    "pspnet": Family(pspnet_over, output_stride=8),
    "deeplabv3": Family(deeplabv3_over, output_stride=16),
    "deeplabv3plus": Family(deeplabv3plus_over, output_stride=16),
}
"""Families by the name that `build_network` takes together with an encoder."""
