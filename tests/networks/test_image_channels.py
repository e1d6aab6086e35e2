"""Every fixed network reads images of other channels than three."""

from dataclasses import replace

import pytest
import torch

from autoseg.architecture import SearchSpace
from autoseg.cost import count_macs
from autoseg.errors import UsageError
from autoseg.networks import NETWORKS, build_network
from autoseg.networks.weightless import weightless
from autoseg.ops import set_image_channels_
from autoseg.supernet import Supernet


@pytest.mark.parametrize("name", NETWORKS)
def test_all_that_reads_the_image_is_adapted(name):
    with weightless():
        network = build_network(name, num_classes=2, width=0.125)
        readers = [m for m in network.modules() if getattr(m, "in_channels", 0) == 3]
        set_image_channels_(network, 4)
    assert readers  # no other map has three channels: the narrowest has eight, the scores two
    assert all(reader.in_channels == reader.weight.shape[1] == 4 for reader in readers)


def test_a_grey_image_gives_what_it_gives_as_three_equal_channels():
    torch.manual_seed(0)
    rgb = build_network("icnet_resnet50", num_classes=3, width=0.125).eval()
    torch.manual_seed(0)
    grey = build_network("icnet_resnet50", num_classes=3, width=0.125, in_channels=1).eval()
    image = torch.rand(1, 1, 64, 70)
    with torch.inference_mode():
        torch.testing.assert_close(grey(image), rgb(image.expand(-1, 3, -1, -1)))


def test_macs_are_those_of_the_channels():
    counts = [
        count_macs(build_network("unet", num_classes=2, width=0.125, in_channels=c), (16, 16)).macs
        for c in (1, 2)
    ]
    assert counts[1] - counts[0] == 16 * 16 * 9 * 8  # 3x3 kernels, 8 maps


def test_the_supernet_reads_its_channels():
    space = replace(SearchSpace.load("autodeeplab", preset="tiny"), num_layers=2, num_nodes=1)
    with weightless():
        supernet = Supernet(space, num_classes=2, in_channels=1)
        assert supernet(torch.zeros(1, 1, 64, 64)).shape[:2] == (1, 2)


def test_no_channels_are_refused():
    with pytest.raises(UsageError, match="in_channels 0; at least 1 is needed"):
        build_network("unet", num_classes=2, in_channels=0)
