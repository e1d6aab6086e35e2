"""DeepLab v1: VGG16 made dense by atrous convolution, its fully connected layers as convolutions.

As LargeFOV was released: every max pooling is 3x3 with padding 1, which keeps the pixels of all
strides aligned; the fourth and fifth have stride 1, and the convolutions between them rate 2. The
first fully connected layer sees 25 x 25 positions in each variant: 7x7 at rate 4, 4x4 at rate 8,
and LargeFOV's 3x3 at rate 12, which needs a seventh of the parameters. LargeFOV alone averages 3x3
positions before it. The map has 1/8 of the image's size, rounded up. The CRF that follows in the
paper is not part of the network.

Deviations: training scores the enlarged logits against the full labels (the release scores the map
against labels subsampled by 8), so that one recipe serves every network; even sizes are halved
exactly (Caffe's pooling would give one more; the release uses sizes 8n + 1, where they agree). The
7x7 and 4x4 variants, of which table 2 gives kernel, rate and size, have LargeFOV's max poolings;
the 4x4 network that was released, of rate 4 and half the view, kept VGG's 2x2 with padding 1.

Source: Chen et al. 2015, "Semantic Image Segmentation with Deep Convolutional Nets and Fully
Connected CRFs" (arXiv 1412.7062), sections 3.1 and 5, table 2; the authors' release, networks
DeepLab-LargeFOV (layers pool1 to pool5, pool5a, fc6) and DeepLab (pool5, fc6).
"""

from torch import Tensor, nn

from autoseg.networks.encoders.fully_connected import fully_connected_layers
from autoseg.networks.encoders.vgg import pooling_indices, vgg_features
from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import resize


class DeepLabV1(nn.Module):
    """Encode at stride 8 and classify each position by the 25 x 25 around it."""

    def __init__(
        self,
        encoder: nn.Sequential,
        context: nn.Sequential,
        classifier: nn.Conv2d,
        *,
        is_smoothed: bool = False,
    ) -> None:
        """Put the network together.

        Args:
            encoder: `atrous_vgg16`.
            context: The fully connected layers, as convolutions that keep the size; see
                `fully_connected_layers`.
            classifier: 1x1 convolution to the logits.
            is_smoothed: Average 3x3 positions of the encoder's map, zeros around it included.
        """
        super().__init__()
        self.encoder = encoder
        # LargeFOV's "pool5a"; Caffe's average counts the padding too, as torch's does.
        self.smooth = nn.AvgPool2d(3, stride=1, padding=1) if is_smoothed else nn.Identity()
        self.context = context
        self.classifier = classifier
        initialise_rectified_(context)
        initialise_(classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        Resizing aligns the corner pixels' centres, as the release's layer does.
        """
        coarse = self.classifier(self.context(self.smooth(self.encoder(images))))
        return resize(coarse, images.shape[2:], align_corners=True)


def deeplab_largefov_vgg16(num_classes: int, *, width: float = 1.0) -> DeepLabV1:
    """Build DeepLab-LargeFOV: 20,505,429 parameters at 21 classes and width 1."""
    return _deeplabv1(
        num_classes,
        kernel_size=3,
        dilation=12,
        context_channels=1024,
        is_smoothed=True,
        width=width,
    )


def deeplab_7x7_vgg16(num_classes: int, *, width: float = 1.0) -> DeepLabV1:
    """Build DeepLab-7x7, with VGG's own kernel: 134,346,581 parameters at 21 classes, width 1."""
    return _deeplabv1(num_classes, kernel_size=7, dilation=4, context_channels=4096, width=width)


def deeplab_4x4_vgg16(num_classes: int, *, width: float = 1.0) -> DeepLabV1:
    """Build DeepLab-4x4: 65,140,565 parameters at 21 classes and width 1."""
    return _deeplabv1(num_classes, kernel_size=4, dilation=8, context_channels=4096, width=width)


def atrous_vgg16(*, width: float = 1.0) -> nn.Sequential:
    """Build VGG16's convolutions at output stride 8 in DeepLab's way; see the head of this file.

    The state dict is that of `vgg_features(16)`.
    """
    features = vgg_features(16, width=width)
    poolings = pooling_indices(features)
    for number, index in enumerate(poolings, start=1):
        features[index] = nn.MaxPool2d(3, stride=2 if number <= 3 else 1, padding=1)
    for layer in list(features)[poolings[3] :]:
        if isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (2, 2)
    return features


def _deeplabv1(
    num_classes: int,
    *,
    kernel_size: int,
    dilation: int,
    context_channels: int,
    is_smoothed: bool = False,
    width: float,
) -> DeepLabV1:
    channels = scale_channels(context_channels, width)
    return DeepLabV1(
        atrous_vgg16(width=width),
        fully_connected_layers(
            scale_channels(512, width), channels, kernel_size=kernel_size, dilation=dilation
        ),
        nn.Conv2d(channels, num_classes, 1),
        is_smoothed=is_smoothed,
    )
