"""The stem of Auto-DeepLab's supernet and derived networks."""

from torch import Tensor, nn

from autoseg.ops.blocks import conv_bn
from autoseg.ops.image_channels import reads_image


class Stem(nn.Module):
    """Three 3x3 convolutions, each followed by batch norm, that bring the stride to 4.

    Source: Auto-DeepLab, arXiv 1901.02985, section 5.1; the tap before the second ReLU is that of
    the authors' TensorFlow network.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = channels
        self.conv1 = reads_image(conv_bn(3, first, 3, stride=2))
        self.conv2 = conv_bn(first, second, 3)
        self.conv3 = conv_bn(second, third, 3, stride=2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to the maps at stride 2 and at stride 4, both before their ReLU."""
        half = self.conv2(self.conv1(images).relu())
        return half, self.conv3(half.relu())
