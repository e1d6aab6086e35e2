"""ResNet encoders under torchvision's names, in the forms that segmentation networks take.

Three choices differ between published networks; none of them changes a parameter count:

- the stem: one 7x7 convolution (He et al., torchvision) or three 3x3 (PSPNet, DUC, ICNet; this one
  does change the count);
- the convolution of a block that carries the stride: the 3x3 (torchvision) or the first 1x1
  (Caffe; DUC, ICNet);
- the atrous rate of each block's 3x3 (DeepLab's multi-grid, DUC's hybrid dilated convolution).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks.encoders.dilation import check_output_stride
from autoseg.networks.encoders.encoder import Encoder
from autoseg.networks.encoders.residual_blocks import (
    BasicBlock,
    Bottleneck,
    SqueezeExcitation,
    StrideOn,
)
from autoseg.networks.initialise import initialise_, initialise_rectified_
from autoseg.networks.width import scale_channels
from autoseg.ops import reads_image

Stem = Literal["7x7", "3x3"]
Block = Literal["bottleneck", "se_bottleneck", "basic"]

RESNET18 = (2, 2, 2, 2)
RESNET34 = RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)
RESNET152 = (3, 8, 36, 3)
"""Blocks in each of the four stages."""


class ResNet(Encoder):
    """A ResNet without its classifier.

    Source: He et al. 2016, table 1; the names of the parts are torchvision's.
    """

    classifier_parts: ClassVar[tuple[str, ...]] = ("fc",)

    def __init__(
        self,
        num_blocks: Sequence[int],
        *,
        block: Block = "bottleneck",
        stem: Stem = "7x7",
        stride_on: StrideOn = "3x3",
        output_stride: int = 32,
        rates: Mapping[int, Sequence[int]] | None = None,
        width: float = 1.0,
    ) -> None:
        """Build the encoder.

        Args:
            num_blocks: Blocks in stages 1 to 4.
            block: Kind of block: three convolutions, the same with squeeze and excitation, or two
                3x3 convolutions (ResNet-18 and 34), whose stride is on the first.
            stem: One 7x7 convolution, or three 3x3 with the last twice as wide.
            stride_on: The convolution of a block that carries the stride.
            output_stride: 8, 16 or 32: stride of stage 4; see `atrous_rates`.
            rates: Atrous rate of each block, for the stages (1 to 4) whose rates are not those of
                `atrous_rates`.
            width: Factor on all channel counts, by `scale_channels`.

        Raises:
            UsageError: If the output stride is another one, a list of rates does not fit its
                stage, or basic blocks are to carry a stride on a 1x1 convolution.
        """
        super().__init__()
        self.output_stride = output_stride
        if block == "basic" and stride_on != "3x3":
            raise UsageError(
                f"ResNet: stride_on {stride_on!r} with basic blocks, which have no 1x1 "
                "convolution; leave it out."
            )
        strides = _stage_strides(output_stride)
        stage_rates = atrous_rates(num_blocks, output_stride=output_stride, stride_on=stride_on)
        # A stage's first rate where the stride comes before the 3x3: that of the stage's own grid.
        own_grid = atrous_rates(num_blocks, output_stride=output_stride, stride_on="1x1")
        for stage, wanted in (rates or {}).items():
            if stage not in range(1, 5) or len(wanted) != num_blocks[stage - 1]:
                raise UsageError(
                    f"ResNet: {len(wanted)} rates for stage {stage}; stages 1 to 4 have "
                    f"{', '.join(map(str, num_blocks))} blocks, give one rate a block."
                )
            stage_rates[stage - 1] = tuple(wanted)

        channels = [scale_channels(64 * 2**stage, width) for stage in range(4)]
        stem_channels = channels[0] if stem == "7x7" else scale_channels(128, width)
        if stem == "7x7":
            self.conv1: nn.Module = reads_image(
                nn.Conv2d(3, stem_channels, 7, stride=2, padding=3, bias=False)
            )
        else:
            self.conv1 = _three_convolutions(scale_channels(64, width), stem_channels)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        expansion = BasicBlock.expansion if block == "basic" else Bottleneck.expansion
        self.stage_channels = tuple(expansion * count for count in channels)
        stages = [
            _stage(
                block,
                in_channels,
                count,
                stride=stride,
                rates=block_rates,
                grid_rate=grid_rates[0],
                stride_on=stride_on,
            )
            for in_channels, count, stride, block_rates, grid_rates in zip(
                (stem_channels, *self.stage_channels[:3]),
                channels,
                strides,
                stage_rates,
                own_grid,
                strict=True,
            )
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        initialise_(self)
        for module in self.modules():
            if isinstance(module, SqueezeExcitation):
                # Its bias is not a classifier's: a ReLU follows.
                initialise_rectified_(module.fc1)

    def stem(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to (N, C, ceil(H / 4), ceil(W / 4))."""
        return self.maxpool(self.relu(self.bn1(self.conv1(images))))

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of the stages that a decoder reads.

        Args:
            images: (N, 3, H, W), normalised.
            stages: Numbers from 1 to 4; nothing after the last of them is computed.

        Returns:
            One map a stage, (N, stage_channels[stage - 1], H / stride, W / stride) rounded up, in
            the order of `stages`.
        """
        maps: list[Tensor] = [self.stem(images)]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4)[: max(stages)]:
            maps.append(layer(maps[-1]))
        return [maps[stage] for stage in stages]

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to stage 4's map, at the output stride."""
        return self.maps(images, stages=(4,))[0]


class ResNetClassifier(ResNet):
    """A ResNet with its classifier; the state dict has torchvision's keys, order and shapes.

    With squeeze and excitation, which torchvision does not have, the gates lie in each block as
    "se.fc1" and "se.fc2". The stride is on the 3x3 convolution in every form; the authors' Caffe
    SE-ResNet has it on the first 1x1, with as many parameters and fewer MACs. At output stride 8 or
    16 a gate is the mean over a denser map: there, and only there, the strided network's map is not
    contained in the dense one exactly.
    """

    def __init__(
        self,
        num_blocks: Sequence[int],
        *,
        block: Block = "bottleneck",
        num_classes: int | None = 1000,
        output_stride: int = 32,
        width: float = 1.0,
    ) -> None:
        """Build the network.

        Args:
            num_blocks: Blocks in stages 1 to 4.
            block: Kind of block.
            num_classes: Classes of the whole image; None leaves the linear layer out.
            output_stride: 8, 16 or 32.
            width: Factor on all channel counts, by `scale_channels`.
        """
        super().__init__(num_blocks, block=block, output_stride=output_stride, width=width)
        self.fc = None
        if num_classes is not None:
            self.fc = nn.Linear(self.stage_channels[3], num_classes)
            initialise_(self.fc)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map."""
        last = super().forward(images)
        return last if self.fc is None else self.fc(last.mean(dim=(2, 3)))


def atrous_rates(
    num_blocks: Sequence[int], *, output_stride: int, stride_on: StrideOn
) -> list[tuple[int, ...]]:
    """Give the rate of each block's 3x3 convolution when strides are turned into rates.

    A stage that loses its stride of 2 doubles the rate from there on, so that the strided network's
    map is the denser map's every second pixel, exactly. The first 3x3 of the stage still reads the
    grid before the stride, and so keeps the rate before it, if the stride was its own; it reads the
    grid after it if the stride was on the 1x1. (torchvision's `replace_stride_with_dilation` is the
    first case.)

    Args:
        num_blocks: Blocks in stages 1 to 4.
        output_stride: 8, 16 or 32: stages whose stride would exceed it lose theirs.
        stride_on: The convolution of a block that carries the stride.

    Returns:
        For each stage, one rate a block.

    Raises:
        UsageError: If the output stride is another one.
    """
    rates: list[tuple[int, ...]] = []
    before = rate = 1
    for count, stride, full_stride in zip(
        num_blocks, _stage_strides(output_stride), _stage_strides(32), strict=True
    ):
        before, rate = rate, rate * full_stride // stride
        first = before if stride_on == "3x3" else rate
        rates.append((first, *[rate] * (count - 1)))
    return rates


def _stage_strides(output_stride: int) -> tuple[int, int, int, int]:
    """Give the stride of each stage; the stem has stride 4."""
    check_output_stride(output_stride)
    return (1, 2, 2 if output_stride >= 16 else 1, 2 if output_stride == 32 else 1)


def _three_convolutions(channels: int, out_channels: int) -> nn.Sequential:
    """Build three 3x3 convolutions in place of the 7x7; `bn1` and ReLU follow the last."""
    counts = (3, channels, channels, out_channels)
    layers: list[nn.Module] = []
    for stride, (count_in, count_out) in zip((2, 1, 1), pairwise(counts), strict=True):
        layers.append(nn.Conv2d(count_in, count_out, 3, stride=stride, padding=1, bias=False))
        layers += [nn.BatchNorm2d(count_out), nn.ReLU(inplace=True)]
    return reads_image(nn.Sequential(*layers[:-2]))


def _stage(
    block: Block,
    in_channels: int,
    channels: int,
    *,
    stride: int,
    rates: Sequence[int],
    grid_rate: int,
    stride_on: StrideOn,
) -> nn.Sequential:
    """Build one stage: a block a rate, the first with the stride."""
    blocks: list[nn.Module] = []
    for rate in rates:
        if block == "basic":
            part: BasicBlock | Bottleneck = BasicBlock(
                in_channels,
                channels,
                stride=stride,
                dilation=rate,
                # The second 3x3 reads the grid after the stride, even in the first block.
                second_dilation=max(rate, grid_rate),
            )
        else:
            part = Bottleneck(
                in_channels,
                channels,
                stride=stride,
                dilation=rate,
                stride_on=stride_on,
                has_gate=block == "se_bottleneck",
            )
        blocks.append(part)
        in_channels, stride = part.expansion * channels, 1
    return nn.Sequential(*blocks)
