"""FC-DenseNet, "the one hundred layers Tiramisu".

The step up enlarges only the maps that the block before it made, not the whole stack; the
classifier reads the whole last stack. Max pooling rounds down, and the step up gives 2h + 1 rows,
of which the first are kept, as many as the map to join has: the release's crop around the centre.

Source: Jegou et al. 2017, "The One Hundred Layers Tiramisu: Fully Convolutional DenseNets for
Semantic Segmentation" (arXiv 1611.09326), sections 3.2 and 4.1, tables 1 and 2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import pad_image, reads_image

DROPOUT = 0.2


class DenseBlock(nn.Module):
    """Layers of which each reads all maps before it, and adds a few of its own."""

    def __init__(self, in_channels: int, *, num_layers: int, growth: int) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            num_layers: Layers; each is batch norm, ReLU, 3x3 convolution and dropout.
            growth: Channels that each layer adds.
        """
        super().__init__()
        self.layers = nn.ModuleList(
            _norm_relu_conv(in_channels + index * growth, growth, 3) for index in range(num_layers)
        )
        self.new_channels = num_layers * growth

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to the new maps alone, (N, new_channels, H, W)."""
        stack = [features]
        for layer in self.layers:
            stack.append(layer(torch.cat(stack, dim=1)))
        return torch.cat(stack[1:], dim=1)


class FCDenseNet(nn.Module):
    """Dense blocks down to stride 32 and up again, joined as in U-Net."""

    def __init__(
        self,
        num_layers: Sequence[int],
        *,
        num_classes: int,
        stem_channels: int = 48,
        growth: int = 16,
    ) -> None:
        """Build the network with random weights.

        Args:
            num_layers: Layers of each block, an odd number of blocks: down, bottleneck, up.
            num_classes: K, the number of evaluated classes.
            stem_channels: Channels of the first convolution.
            growth: Channels that a layer adds.
        """
        super().__init__()
        depth = len(num_layers) // 2
        self.stem = reads_image(nn.Conv2d(3, stem_channels, 3, padding=1))
        channels, skip_channels = stem_channels, []
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        for count in num_layers[:depth]:
            block = DenseBlock(channels, num_layers=count, growth=growth)
            channels += block.new_channels
            self.down.append(block)
            self.shrink.append(
                nn.Sequential(*_norm_relu_conv(channels, channels, 1), nn.MaxPool2d(2))
            )
            skip_channels.append(channels)
        self.bottleneck = DenseBlock(channels, num_layers=num_layers[depth], growth=growth)
        new_channels = self.bottleneck.new_channels
        self.enlarge = nn.ModuleList()
        self.up = nn.ModuleList()
        for count, skipped in zip(num_layers[depth + 1 :], reversed(skip_channels), strict=True):
            self.enlarge.append(nn.ConvTranspose2d(new_channels, new_channels, 3, stride=2))
            channels = new_channels + skipped
            block = DenseBlock(channels, num_layers=count, growth=growth)
            self.up.append(block)
            new_channels = block.new_channels
        self.classifier = nn.Conv2d(channels + new_channels, num_classes, 1)
        initialise_rectified_(self)
        initialise_(self.classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) of any size to logits (N, K, H, W).

        An image with a side below the deepest stride, 32, is padded to it below and on the right,
        and the logits are cropped.
        """
        height, width = images.shape[2:]
        features = self.stem(pad_image(images, minimum=2 ** len(self.down)))
        skipped = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skipped.append(torch.cat([features, block(features)], dim=1))
            features = shrink(skipped[-1])
        stack, new = features, self.bottleneck(features)
        for enlarge, block, skip in zip(self.enlarge, self.up, reversed(skipped), strict=True):
            enlarged = enlarge(new)[:, :, : skip.shape[2], : skip.shape[3]]
            stack = torch.cat([enlarged, skip], dim=1)
            new = block(stack)
        logits = self.classifier(torch.cat([stack, new], dim=1))
        return logits[:, :, :height, :width]


def fc_densenet67(num_classes: int, *, width: float = 1.0) -> FCDenseNet:
    """Build FC-DenseNet67: 3,463,243 parameters at 11 classes and width 1."""
    return _fc_densenet((5,) * 11, num_classes=num_classes, width=width)


def fc_densenet103(num_classes: int, *, width: float = 1.0) -> FCDenseNet:
    """Build FC-DenseNet103: 9,322,091 parameters at 11 classes and width 1."""
    num_layers = (4, 5, 7, 10, 12, 15, 12, 10, 7, 5, 4)
    return _fc_densenet(num_layers, num_classes=num_classes, width=width)


def _fc_densenet(num_layers: Sequence[int], *, num_classes: int, width: float) -> FCDenseNet:
    return FCDenseNet(
        num_layers,
        num_classes=num_classes,
        stem_channels=scale_channels(48, width),
        growth=scale_channels(16, width),
    )


def _norm_relu_conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Build batch norm, ReLU, a convolution with bias that keeps the size, and dropout."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        nn.Dropout(DROPOUT),
    )
