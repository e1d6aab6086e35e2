"""AlexNet: torchvision's single-column network, and the two-column convolutions of FCN-AlexNet.

Sources: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks"
(arXiv 1404.5997), for the single column; Krizhevsky et al. 2012, "ImageNet Classification with Deep
Convolutional Neural Networks", for the two.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from autoseg.networks.encoders.dilation import dilate_
from autoseg.networks.encoders.encoder import Encoder, maps_after
from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import ResponseNorm, reads_image

COLUMN_CHANNELS = (64, 192, 384, 256, 256)
GROUPED_CHANNELS = (96, 256, 384, 384, 256)


def alexnet_features(*, output_stride: int = 32, width: float = 1.0) -> nn.Sequential:
    """Build the five convolutions and three poolings with torchvision's keys, "features.N".

    Args:
        output_stride: 8, 16 or 32: the stride after the third pooling; see `dilate_`.
        width: Factor on all channel counts, by `scale_channels`.
    """
    first, second, third, fourth, fifth = (scale_channels(c, width) for c in COLUMN_CHANNELS)
    features = nn.Sequential(
        reads_image(nn.Conv2d(3, first, 11, stride=4, padding=2)),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(third, fourth, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(fourth, fifth, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
    )
    initialise_rectified_(features)
    dilate_(features, output_stride=output_stride)
    return features


def grouped_alexnet_features(*, width: float = 1.0) -> nn.Sequential:
    """Build the convolutions of the two-column AlexNet as Caffe has them: FCN-AlexNet's.

    The second, fourth and fifth convolution have two groups; response normalisation follows the
    first two poolings (Krizhevsky et al. have it before them), and sizes round up when pooling.

    Args:
        width: Factor on all channel counts, by `scale_channels`, rounded up to even counts.
    """
    first, second, third, fourth, fifth = (
        2 * -(-scale_channels(c, width) // 2) for c in GROUPED_CHANNELS
    )
    features = nn.Sequential(
        reads_image(nn.Conv2d(3, first, 11, stride=4)),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        ResponseNorm(),
        nn.Conv2d(first, second, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        ResponseNorm(),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(third, fourth, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(fourth, fifth, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
    )
    initialise_rectified_(features)
    return features


class AlexNet(Encoder):
    """AlexNet with torchvision's state dict, or its convolutions alone.

    The first stride is 4: stage 1 is the first convolution's map, stages 2 and 3 end before the
    second and third pooling, stage 4 is the third pooling's map.
    """

    classifier_parts: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(
        self, *, num_classes: int | None = 1000, output_stride: int = 32, width: float = 1.0
    ) -> None:
        """Build the network.

        Args:
            num_classes: Classes of the whole image; None leaves the three linear layers out.
            output_stride: 8, 16 or 32.
            width: Factor on all channel counts, by `scale_channels`.
        """
        super().__init__()
        self.output_stride = output_stride
        self.features = alexnet_features(output_stride=output_stride, width=width)
        self.stage_channels = tuple(scale_channels(c, width) for c in (64, 192, 256, 256))
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = None
        if num_classes is not None:
            channels = scale_channels(4096, width)
            self.classifier = nn.Sequential(
                nn.Dropout(),
                nn.Linear(6 * 6 * self.stage_channels[3], channels),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                nn.Linear(channels, channels),
                nn.ReLU(inplace=True),
                nn.Linear(channels, num_classes),
            )
            initialise_(self.classifier)

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of `stages`; see `Encoder`. Sizes are rounded down, without padding."""
        return maps_after(self.features, images, ends=(1, 4, 11, 12), stages=stages)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map."""
        (last,) = self.maps(images, stages=(4,))
        if self.classifier is None:
            return last
        return self.classifier(self.avgpool(last).flatten(1))
