"""The classifier that several networks share: over stage 3 to help training, or as a head."""

from torch import nn

from autoseg.networks.initialise import initialise_
from autoseg.ops import conv_bn_relu


def auxiliary_classifier(
    in_channels: int,
    channels: int,
    num_classes: int,
    *,
    dropout: float,
    drops_channels: bool = False,
) -> nn.Sequential:
    """Build a 3x3 convolution with batch norm and ReLU, dropout, and a 1x1 convolution to logits.

    Args:
        in_channels: Channels of the map that it reads.
        channels: Channels of the 3x3 convolution.
        num_classes: K, the number of evaluated classes.
        dropout: Probability that the last convolution does not see a value.
        drops_channels: Drop whole channels of an image (PSPNet's code) instead of single values
            (torchvision's).

    Source: PSPNet (arXiv 1612.01105), section 3.3.
    """
    classifier = nn.Sequential(
        *conv_bn_relu(in_channels, channels, 3),
        nn.Dropout2d(dropout) if drops_channels else nn.Dropout(dropout),
        nn.Conv2d(channels, num_classes, 1),
    )
    initialise_(classifier)
    return classifier
