"""A foreign module as an encoder: by two functions, and refused where they do not say the truth."""

import copy
import re

import pytest
import torch
from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks import FAMILIES, AdaptedEncoder, build_network, load_weights_
from autoseg.networks.encoders import ENCODERS, Encoder


class Pyramid(nn.Module):
    """A module as another library may have it: maps at strides 2, 4, 8, 16 and 32, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.widths = (8, 12, 16, 20, 24)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in zip((3, *self.widths), self.widths, strict=False)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            images = layer(images).relu()
            maps.append(images)
        return maps


def adapted(body: nn.Module | None = None, **changes) -> AdaptedEncoder:
    functions = {
        "channels": lambda body: body.widths[1:],
        "maps": lambda body, images: body(images)[1:],
    }
    return AdaptedEncoder(body or Pyramid(), **(functions | changes))


def test_it_is_an_encoder() -> None:
    encoder = adapted()
    images = torch.randn(2, 3, 65, 90)
    expected = encoder.body(images)
    assert encoder.stage_channels == (12, 16, 20, 24)
    assert encoder.output_stride == 32
    maps = encoder.maps(images, stages=(4, 1))
    assert torch.equal(maps[0], expected[4]) and torch.equal(maps[1], expected[1])
    assert torch.equal(encoder(images), expected[4])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_over_it(family: str) -> None:
    torch.manual_seed(0)
    network = build_network(family, encoder=adapted(), num_classes=3, width=0.0625)
    images = torch.randn(2, 3, 65, 90)
    result = network(images)
    logits = result if isinstance(result, Tensor) else result.logits
    assert logits.shape == (2, 3, 65, 90)
    logits.sum().backward()
    assert all(
        parameter.grad is not None for parameter in network.get_submodule("encoder").parameters()
    )
    assert network.eval()(images).shape == (2, 3, 65, 90)
    # Copies and state dicts work as for any network.
    other = build_network(family, encoder=adapted(), num_classes=3, width=0.0625).eval()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(images), network(images))
    assert torch.equal(copy.deepcopy(network)(images), network(images))


def test_an_encoder_of_this_package_adapted_gives_the_same_network() -> None:
    def build(is_adapted: bool) -> nn.Module:
        torch.manual_seed(0)
        encoder: Encoder = ENCODERS["resnet18"](num_classes=None, output_stride=16, width=0.125)
        if is_adapted:
            encoder = AdaptedEncoder(
                encoder,
                channels=lambda body: body.stage_channels,
                maps=lambda body, images: body.maps(images, stages=(1, 2, 3, 4)),
                output_stride=16,
            )
        return build_network("deeplabv3plus", encoder=encoder, num_classes=3, width=0.125).eval()

    images = torch.randn(1, 3, 49, 66)
    assert torch.equal(build(is_adapted=True)(images), build(is_adapted=False)(images))


def test_a_whole_networks_file_fills_it(tmp_path) -> None:
    source, network = (
        build_network("deeplabv3", encoder=adapted(), num_classes=3, width=0.0625) for _ in range(2)
    )
    torch.save({"model": source.state_dict()}, tmp_path / "weights.pth")
    load_weights_(network, tmp_path / "weights.pth")
    expected = source.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize("channels", [(8, 12, 16, 20, 24), (12, 16), (0, 1, 2, 3), (1.0,) * 4])
def test_four_channel_counts_are_needed(channels: tuple[int, ...]) -> None:
    message = (
        f"AdaptedEncoder: channels of Pyramid are {channels}; four counts are needed, those of the "
        "maps at strides 4, 8, 16 and 32 (leave a map at stride 2 out)."
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        adapted(channels=lambda body: channels)


@pytest.mark.parametrize(
    "maps",
    [
        lambda body, images: body(images),
        lambda body, images: body(images)[:4],
        lambda body, images: body(images)[:0:-1],
        lambda body, images: [features.flatten(2) for features in body(images)[1:]],
        lambda body, images: [features.permute(0, 2, 3, 1) for features in body(images)[1:]],
    ],
)
def test_maps_that_are_not_as_said_are_refused(maps) -> None:
    encoder = adapted(maps=maps)
    message = (
        r"^AdaptedEncoder: the maps of Pyramid are \[.*\]; four maps \(N, C, h, w\) are needed, "
        r"with 12, 16, 20, 24 channels, as its function of the channels says\.$"
    )
    with pytest.raises(UsageError, match=message):
        encoder(torch.randn(1, 3, 64, 96))


def test_another_stride_is_refused() -> None:
    with pytest.raises(UsageError, match=r"output_stride 64; it can be 8, 16 or 32\."):
        adapted(output_stride=64)
