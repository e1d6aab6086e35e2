"""The aligned Xception of 65 layers, as DeepLab uses it.

torchvision has no such network; the names of the parts are those of the weights in circulation
(PyTorch Image Models), which came from the authors' TensorFlow checkpoints.

Sources: Chollet 2017, "Xception: Deep Learning with Depthwise Separable Convolutions"
(arXiv 1610.02357); DeepLab v3+ (arXiv 1802.02611), figure 4: a deeper middle, strided convolutions
in place of poolings, and batch norm after each depthwise convolution.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from autoseg.networks.encoders.dilation import check_output_stride
from autoseg.networks.encoders.encoder import Encoder
from autoseg.networks.encoders.named_block import NORM_EPS, named_conv_bn_relu
from autoseg.networks.initialise import initialise_
from autoseg.networks.width import scale_channels
from autoseg.ops import reads_image

STEM_CHANNELS = (32, 64)
# Channels of the three convolutions, and the stride of the last.
BLOCKS = (
    ((128, 128, 128), 2),
    ((256, 256, 256), 2),
    ((728, 728, 728), 2),
    *(((728, 728, 728), 1),) * 16,
    ((728, 1024, 1024), 2),
    ((1536, 1536, 2048), 1),
)
STAGE_ENDS = (1, 2, 19)
"""Blocks within which stages 1 to 3 end, before the strided convolution."""


class SeparableConv(nn.Sequential):
    """Depthwise and pointwise convolution, each with batch norm, and with ReLU where asked."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        rate: int = 1,
        has_relu: bool = False,
    ) -> None:
        depthwise = nn.Conv2d(
            in_channels,
            in_channels,
            3,
            stride=stride,
            padding=rate,
            dilation=rate,
            groups=in_channels,
            bias=False,
        )
        layers: dict[str, nn.Module] = {
            "conv_dw": depthwise,
            "bn_dw": nn.BatchNorm2d(in_channels, eps=NORM_EPS),
        }
        if has_relu:
            layers["act_dw"] = nn.ReLU(inplace=True)
        layers["conv_pw"] = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        layers["bn_pw"] = nn.BatchNorm2d(out_channels, eps=NORM_EPS)
        if has_relu:
            layers["act_pw"] = nn.ReLU(inplace=True)
        super().__init__(OrderedDict(layers))


class XceptionBlock(nn.Module):
    """Three separable convolutions after ReLU each, and a shortcut.

    The last block has no shortcut, and its ReLUs come after the convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        *,
        stride: int,
        rate: int,
        has_shortcut: bool = True,
    ) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            channels: Channels of the three convolutions.
            stride: Stride of the last convolution.
            rate: Atrous rate of all three.
            has_shortcut: Whether the input is added, by a 1x1 convolution where its shape differs.
        """
        super().__init__()
        self.has_shortcut = has_shortcut
        self.shortcut = None
        if has_shortcut and (stride != 1 or in_channels != channels[-1]):
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(in_channels, channels[-1], 1, stride=stride, bias=False),
                    bn=nn.BatchNorm2d(channels[-1], eps=NORM_EPS),
                )
            )
        convolutions = {
            f"conv{index}": SeparableConv(
                count_in,
                count_out,
                stride=stride if index == 3 else 1,
                rate=rate,
                has_relu=not has_shortcut,
            )
            for index, (count_in, count_out) in enumerate(pairwise((in_channels, *channels)), 1)
        }
        self.stack = nn.ModuleDict(convolutions)

    def both(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the second convolution's map, before the stride, and the block's."""
        first, second, third = self.stack.values()
        if not self.has_shortcut:
            inner = second(first(features))
            return inner, third(inner)
        inner = second(first(features.relu()).relu())
        shortcut = features if self.shortcut is None else self.shortcut(features)
        return inner, third(inner.relu()) + shortcut

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        return self.both(features)[1]


class Xception65(Encoder):
    """Aligned Xception-65 with its classifier, or without.

    The maps of stages 1 to 3 are those of the second convolution in the block whose third has the
    stride, after batch norm and before ReLU, as DeepLab's decoder reads them.
    """

    classifier_parts: ClassVar[tuple[str, ...]] = ("head",)

    def __init__(
        self, *, num_classes: int | None = 1000, output_stride: int = 32, width: float = 1.0
    ) -> None:
        """Build the network.

        Args:
            num_classes: Classes of the whole image; None leaves the linear layer out.
            output_stride: 8, 16 or 32.
            width: Factor on all channel counts, by `scale_channels`.

        Raises:
            UsageError: If the output stride is another one.
        """
        super().__init__()
        self.output_stride = output_stride
        check_output_stride(output_stride)
        first, channels = (scale_channels(count, width) for count in STEM_CHANNELS)
        self.stem = nn.Sequential(
            reads_image(named_conv_bn_relu(3, first, 3, stride=2)),
            named_conv_bn_relu(first, channels, 3),
        )
        blocks: list[nn.Module] = []
        inner_channels: list[int] = []
        grid_stride, rate = 2, 1
        for index, (full_channels, full_stride) in enumerate(BLOCKS):
            counts = [scale_channels(count, width) for count in full_channels]
            stride = full_stride if grid_stride * full_stride <= output_stride else 1
            has_shortcut = index < len(BLOCKS) - 1
            blocks.append(
                XceptionBlock(channels, counts, stride=stride, rate=rate, has_shortcut=has_shortcut)
            )
            grid_stride, rate = grid_stride * stride, rate * full_stride // stride
            channels = counts[-1]
            inner_channels.append(counts[1])
        self.blocks = nn.ModuleList(blocks)
        self.stage_channels = (*(inner_channels[index] for index in STAGE_ENDS), channels)
        self.head = None
        if num_classes is not None:
            self.head = nn.ModuleDict({"fc": nn.Linear(channels, num_classes)})
        initialise_(self)

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of `stages`; see `Encoder`. Odd sizes are rounded up."""
        kept: list[Tensor] = []
        features = self.stem(images)
        for index, block in enumerate(self.blocks):
            assert isinstance(block, XceptionBlock)
            inner, features = block.both(features)
            if index in STAGE_ENDS:
                kept.append(inner)
            if len(kept) == max(stages):
                break
        kept.append(features)
        return [kept[stage - 1] for stage in stages]

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map."""
        (last,) = self.maps(images, stages=(4,))
        return last if self.head is None else self.head["fc"](last.mean(dim=(2, 3)))
