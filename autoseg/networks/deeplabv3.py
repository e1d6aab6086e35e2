"""DeepLab v3, as the paper has it and as torchvision has it.

The plain names are the paper's: output stride 16 (or 8), multi-grid (1, 2, 4) over the rate of
ResNet's stage 4, pyramid rates 6, 12, 18 (twice these at output stride 8). The names that end in
"_torchvision" are torchvision's network: output stride 8, no multi-grid, pyramid rates 12, 24, 36,
dropout after the pyramid, resizing that aligns the images' corners. Its published weights load
into them (`autoseg.networks.weights`).

Both have torchvision's 3x3 convolution between pyramid and classifier (590,336 parameters), which
the paper does not mention, and over ResNet its auxiliary classifier on stage 3, which takes part in
training alone. MobileNetV2 ends with its 320 channels: the 1x1 convolution to 1280 belongs to the
classifier, and the rates have no multi-grid. `deeplabv3_mobilenet_v2_without_3x3` leaves the 3x3
out: there the pyramid's 1x1 projection is followed by the classifier, as the paper has it.

Sources: Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation"
(arXiv 1706.05587), sections 3.2 and 3.3; for MobileNetV2, Sandler et al. 2018 (arXiv 1801.04381),
section 6.3.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from autoseg.contract import TrainingLogits
from autoseg.networks.auxiliary import auxiliary_classifier
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.encoders.encoder import Encoder
from autoseg.networks.encoders.resnet import RESNET50, RESNET101, ResNet
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import ASPP, conv_bn_relu, resize

MULTI_GRID = (1, 2, 4)
AUXILIARY_WEIGHT = 0.5
"""torchvision's weight of the auxiliary loss."""
AUXILIARY_DROPOUT = 0.1


def pyramid_rates(output_stride: int) -> tuple[int, ...]:
    """Give the pyramid's rates, which see the same pixels at every output stride: section 3.3.

    6, 12, 18 at stride 16.
    """
    return tuple(rate * 16 // output_stride for rate in (6, 12, 18))


def multi_grid_resnet(num_blocks: Sequence[int], *, output_stride: int, width: float) -> ResNet:
    """Build a ResNet whose stage 4 has the rates of the multi-grid: section 3.2.1.

    Unlike torchvision's plain atrous network, the first block takes the stage's rate as well.

    Args:
        num_blocks: Blocks in stages 1 to 4, three in the last.
        output_stride: 8 or 16, or 32 without any rate but the multi-grid's.
        width: Factor on all channel counts, by `scale_channels`.
    """
    return ResNet(
        num_blocks,
        output_stride=output_stride,
        rates={4: [32 // output_stride * unit for unit in MULTI_GRID]},
        width=width,
    )


class DeepLabV3(nn.Module):
    """Encode, look at several scales, and classify each position."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        num_classes: int,
        rates: Sequence[int],
        channels: int = 256,
        has_convolution: bool = True,
        has_auxiliary: bool = True,
        dropout: float = 0.0,
        align_corners: bool = True,
    ) -> None:
        """Put the network together.

        Args:
            encoder: Encoder at output stride 8 or 16.
            num_classes: K, the number of evaluated classes.
            rates: Atrous rates of the pyramid.
            channels: Channels of the pyramid's branches, of the 3x3 convolution after it, and of
                the auxiliary classifier.
            has_convolution: Put torchvision's 3x3 convolution after the pyramid.
            has_auxiliary: Classify stage 3's map as well, in training.
            dropout: Probability with which a value after the pyramid is left out.
            align_corners: How the logits are enlarged; see `resize`.
        """
        super().__init__()
        self.align_corners = align_corners
        self.encoder = encoder
        self.head = nn.Sequential(
            ASPP(encoder.stage_channels[3], channels, rates=rates),
            *(conv_bn_relu(channels, channels, 3) if has_convolution else ()),
            nn.Conv2d(channels, num_classes, 1),
        )
        self.dropout = nn.Dropout(dropout)
        self.auxiliary = None
        if has_auxiliary:
            self.auxiliary = auxiliary_classifier(
                encoder.stage_channels[2], channels, num_classes, dropout=AUXILIARY_DROPOUT
            )
        initialise_(self.head)

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        In training mode the logits come with stage 3's, at 1/8 or 1/16 of the image (rounded up),
        to be weighted by 0.5, if there is an auxiliary classifier.
        """
        middle, features = self.encoder.maps(images, stages=(3, 4))
        pyramid, *classify = self.head
        scores = self.dropout(pyramid(features))
        for layer in classify:
            scores = layer(scores)
        logits = resize(scores, images.shape[2:], align_corners=self.align_corners)
        if not self.training or self.auxiliary is None:
            return logits
        return TrainingLogits(logits, (self.auxiliary(middle),), (AUXILIARY_WEIGHT,))


def deeplabv3_resnet50(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3:
    """Build DeepLab v3 over ResNet-50.

    39,638,869 parameters at 21 classes and width 1; 42,004,074 with the auxiliary classifier.
    """
    return _deeplabv3(RESNET50, num_classes, output_stride=output_stride, width=width)


def deeplabv3_resnet101(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3:
    """Build DeepLab v3 over ResNet-101.

    58,630,997 parameters at 21 classes and width 1; 60,996,202 with the auxiliary classifier.
    """
    return _deeplabv3(RESNET101, num_classes, output_stride=output_stride, width=width)


def deeplabv3_resnet50_torchvision(num_classes: int, *, width: float = 1.0) -> DeepLabV3:
    """Build torchvision's DeepLab v3 over ResNet-50, with as many parameters as the paper's."""
    return _torchvision(RESNET50, num_classes, width=width)


def deeplabv3_resnet101_torchvision(num_classes: int, *, width: float = 1.0) -> DeepLabV3:
    """Build torchvision's DeepLab v3 over ResNet-101, with as many parameters as the paper's."""
    return _torchvision(RESNET101, num_classes, width=width)


def deeplabv3_mobilenet_v2(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3:
    """Build DeepLab v3 over MobileNetV2: 5,113,877 parameters at 21 classes and width 1."""
    return _over_mobilenet_v2(num_classes, output_stride=output_stride, width=width)


def deeplabv3_mobilenet_v2_without_3x3(
    num_classes: int, *, output_stride: int = 16, width: float = 1.0
) -> DeepLabV3:
    """Build it without torchvision's 3x3: 4,523,541 parameters at 21 classes and width 1."""
    return _over_mobilenet_v2(
        num_classes, output_stride=output_stride, width=width, has_convolution=False
    )


def deeplabv3_over(encoder: Encoder, num_classes: int, *, width: float = 1.0) -> DeepLabV3:
    """Build DeepLab v3 over any encoder, with torchvision's 3x3 and no auxiliary classifier.

    Args:
        encoder: Any; the paper's have output stride 16 or 8.
        num_classes: K, the number of evaluated classes.
        width: Factor on the decoder's channel counts, by `scale_channels`.
    """
    return DeepLabV3(
        encoder,
        num_classes=num_classes,
        rates=pyramid_rates(encoder.output_stride),
        channels=scale_channels(256, width),
        has_auxiliary=False,
    )


def _deeplabv3(
    num_blocks: Sequence[int], num_classes: int, *, output_stride: int, width: float
) -> DeepLabV3:
    return DeepLabV3(
        multi_grid_resnet(num_blocks, output_stride=output_stride, width=width),
        num_classes=num_classes,
        rates=pyramid_rates(output_stride),
        channels=scale_channels(256, width),
    )


def _over_mobilenet_v2(
    num_classes: int, *, output_stride: int, width: float, has_convolution: bool = True
) -> DeepLabV3:
    return DeepLabV3(
        ENCODERS["mobilenet_v2"](num_classes=None, output_stride=output_stride, width=width),
        num_classes=num_classes,
        rates=pyramid_rates(output_stride),
        channels=scale_channels(256, width),
        has_convolution=has_convolution,
        has_auxiliary=False,
    )


def _torchvision(num_blocks: Sequence[int], num_classes: int, *, width: float) -> DeepLabV3:
    return DeepLabV3(
        ResNet(num_blocks, output_stride=8, width=width),
        num_classes=num_classes,
        rates=pyramid_rates(8),
        channels=scale_channels(256, width),
        dropout=0.5,
        align_corners=False,
    )
