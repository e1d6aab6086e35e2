"""The blocks of ResNets under torchvision's names."""

from typing import Literal

from torch import Tensor, nn

from autoseg.networks.width import MIN_CHANNELS

StrideOn = Literal["3x3", "1x1"]


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate in (0, 1) that two layers compute from all channels' means.

    Source: Hu et al. 2018, "Squeeze-and-Excitation Networks" (arXiv 1709.01507), section 3.
    """

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed_channels, 1)
        self.fc2 = nn.Conv2d(squeezed_channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        means = features.mean(dim=(2, 3), keepdim=True)
        return features * self.fc2(self.fc1(means).relu()).sigmoid()


class BasicBlock(nn.Module):
    """Look around by two 3x3 convolutions, and add the input.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", figure 5, left.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        second_dilation: int | None = None,
    ) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            channels: Channels of the output.
            stride: Stride of the block, on the first convolution.
            dilation: Atrous rate of the first convolution.
            second_dilation: Atrous rate of the second, where it is another one.
        """
        super().__init__()
        self.conv1 = _conv3x3(in_channels, channels, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(channels, channels, dilation=second_dilation or dilation)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _projection(in_channels, channels, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        shortcut = features if self.downsample is None else self.downsample(features)
        return self.relu(residual + shortcut)


class Bottleneck(nn.Module):
    """Reduce by a 1x1 convolution, look around by a 3x3, expand by a 1x1, and add the input.

    Source: He et al. 2016, figure 5, right.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        stride_on: StrideOn = "3x3",
        has_gate: bool = False,
    ) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            channels: Channels of the 3x3 convolution; the output has four times as many.
            stride: Stride of the block.
            dilation: Atrous rate of the 3x3 convolution.
            stride_on: The convolution that carries the stride.
            has_gate: Gate the channels before the addition, squeezed 16 times (to 8 at
                least; only a network narrower than the paper's comes that low).
        """
        super().__init__()
        out_channels = self.expansion * channels
        stride_1x1, stride_3x3 = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, stride=stride_1x1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels, stride=stride_3x3, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.se = None
        if has_gate:
            self.se = SqueezeExcitation(out_channels, max(MIN_CHANNELS, out_channels // 16))
        self.downsample = _projection(in_channels, out_channels, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 4 * channels, ceil(H / stride), ceil(W / stride))."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        if self.se is not None:
            residual = self.se(residual)
        shortcut = features if self.downsample is None else self.downsample(features)
        return self.relu(residual + shortcut)


def _conv3x3(
    in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        out_channels,
        3,
        stride=stride,
        padding=dilation,
        dilation=dilation,
        bias=False,
    )


def _projection(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential | None:
    """Build the shortcut where the input cannot be added as it is."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )
