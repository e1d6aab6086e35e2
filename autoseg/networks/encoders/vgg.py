"""VGG under torchvision's names.

Source: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition" (arXiv 1409.1556), table 1: configurations A, B, D and E.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks.encoders.dilation import POOLINGS, dilate_
from autoseg.networks.encoders.encoder import Encoder, maps_after
from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import reads_image

BLOCK_CHANNELS = (64, 128, 256, 512, 512)
NUM_CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions in each of the five blocks, by the number of layers with weights."""


def vgg_features(
    depth: int,
    *,
    batch_norm: bool = False,
    output_stride: int = 32,
    ceil_mode: bool = False,
    width: float = 1.0,
) -> nn.Sequential:
    """Build the five blocks of 3x3 convolutions, each ending with a max pooling.

    The layers lie flat, as torchvision has them, so that the state dict's keys are its
    "features.N": convolution, batch norm if there is any, ReLU, and so on.

    Args:
        depth: 11, 13, 16 or 19.
        batch_norm: Normalise after each convolution; the convolutions keep their bias.
        output_stride: 8, 16 or 32: the stride after the fifth pooling; see `dilate_`.
        ceil_mode: Round odd sizes up when pooling, as Caffe does; torchvision rounds down.
        width: Factor on all channel counts, by `scale_channels`.

    Raises:
        UsageError: If there is no VGG of that depth, or the output stride is another one.
    """
    if depth not in NUM_CONVOLUTIONS:
        raise UsageError(f"VGG: depth {depth}; it can be 11, 13, 16 or 19.")
    layers: list[nn.Module] = []
    in_channels = 3
    for count, full_channels in zip(NUM_CONVOLUTIONS[depth], BLOCK_CHANNELS, strict=True):
        channels = scale_channels(full_channels, width)
        for _ in range(count):
            layers.append(nn.Conv2d(in_channels, channels, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
            in_channels = channels
        layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=ceil_mode))
    features = reads_image(nn.Sequential(*layers))
    initialise_rectified_(features)
    dilate_(features, output_stride=output_stride)
    return features


def pooling_indices(features: nn.Sequential) -> list[int]:
    """List the positions of the poolings in `vgg_features`: the ends of its blocks."""
    return [index for index, layer in enumerate(features) if isinstance(layer, POOLINGS)]


class VGG(Encoder):
    """VGG with torchvision's state dict, or its convolutions alone.

    Stages 1 to 3 end before the third to the fifth pooling; stage 4 is the fifth pooling's map.
    """

    classifier_parts: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(
        self,
        depth: int,
        *,
        batch_norm: bool = False,
        num_classes: int | None = 1000,
        output_stride: int = 32,
        width: float = 1.0,
    ) -> None:
        """Build the network.

        Args:
            depth: 11, 13, 16 or 19.
            batch_norm: Normalise after each convolution.
            num_classes: Classes of the whole image; None leaves the three linear layers out.
            output_stride: 8, 16 or 32.
            width: Factor on all channel counts, by `scale_channels`.
        """
        super().__init__()
        self.output_stride = output_stride
        self.features = vgg_features(
            depth, batch_norm=batch_norm, output_stride=output_stride, width=width
        )
        self.stage_channels = tuple(
            scale_channels(channels, width) for channels in (*BLOCK_CHANNELS[2:], 512)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = None
        if num_classes is not None:
            self.classifier = _classifier(
                7 * 7 * self.stage_channels[3], scale_channels(4096, width), num_classes
            )

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of `stages`; see `Encoder`. Odd sizes are rounded down by pooling."""
        _, _, third, fourth, fifth = pooling_indices(self.features)
        ends = (third - 1, fourth - 1, fifth - 1, fifth)
        return maps_after(self.features, images, ends=ends, stages=stages)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map."""
        (last,) = self.maps(images, stages=(4,))
        if self.classifier is None:
            return last
        return self.classifier(self.avgpool(last).flatten(1))


def _classifier(in_features: int, channels: int, num_classes: int) -> nn.Sequential:
    classifier = nn.Sequential(
        nn.Linear(in_features, channels),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(channels, channels),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(channels, num_classes),
    )
    initialise_(classifier)
    return classifier
