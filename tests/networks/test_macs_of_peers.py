"""MACs that independent implementations publish of DeepLab over MobileNetV2, from those here.

Both pad the input of a whole block, where its depthwise convolution alone needs the padding: the
1x1 convolution before it then computes the padding as well, and batch norm turns it into values
other than 0. The published networks' counts are larger by those positions.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autoseg.networks import build_network
from autoseg.networks.weightless import weightless

# Of each block that has a 1x1 before its depthwise convolution, input channels and how many times
# smaller than the stem's its input map is: table 2 of MobileNetV2, at output stride 16.
BLOCKS = [(16, 1), *[(24, 2)] * 2, *[(32, 4)] * 3, *[(64, 8)] * 4, *[(96, 8)] * 3, *[(160, 8)] * 3]


def macs(name: str, side: int) -> int:
    with weightless():
        network = build_network(name, num_classes=21).eval()
        images = torch.empty(1, 3, side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return counter.get_total_flops() // 2


def macs_of_padding(stem_side: int, rates: list[int]) -> int:
    total = 0
    for (channels, part), rate in zip(
        BLOCKS, [1] * (len(BLOCKS) - len(rates)) + rates, strict=True
    ):
        side = -(-stem_side // part)
        total += channels * 6 * channels * ((side + 2 * rate) ** 2 - side**2)
    return total


@pytest.mark.parametrize(
    ("name", "side", "rates", "published"),
    [
        # jfzhang95/pytorch-deeplab-xception: the last block alone has rate 2.
        ("deeplabv3plus_mobilenet_v2", 513, [2], "27.068"),
        # VainF/DeepLabV3Plus-Pytorch: rate 2 from the second block of 160 channels on. Its stem
        # does not pad, so that the maps of 513 pixels have the size of those of 512 here.
        ("deeplabv3_mobilenet_v2", 512, [2, 2, 2], "5.844"),
    ],
)
def test_padded_blocks_explain_the_difference(
    name: str, side: int, rates: list[int], published: str
) -> None:
    total = macs(name, side) + macs_of_padding(-(-side // 2), rates)
    assert f"{total / 1e9:.3f}" == published
