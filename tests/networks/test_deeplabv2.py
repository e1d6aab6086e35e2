import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.cost import count_macs_fvcore
from autoseg.networks import TrainingLogits
from autoseg.networks.deeplabv2 import DeepLabV2, deeplabv2_resnet101, deeplabv2_vgg16
from autoseg.networks.weightless import weightless


class Shrink(nn.Module):
    """Stands in for an encoder: every eighth pixel."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, ::8, ::8]


def small_network(scales=()) -> DeepLabV2:
    torch.manual_seed(0)
    branches = nn.ModuleList(nn.Conv2d(3, 4, 3, padding=rate, dilation=rate) for rate in (1, 2))
    return DeepLabV2(Shrink(), branches, scales=scales).double()


def enlarge(maps: Tensor, size) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)


def test_branches_are_summed() -> None:
    network = small_network()
    images = torch.randn(2, 3, 33, 41, dtype=torch.float64)
    coarse = sum(branch(images[:, :, ::8, ::8]) for branch in network.branches)
    assert isinstance(coarse, Tensor)
    torch.testing.assert_close(network(images), enlarge(coarse, (33, 41)))


def test_the_largest_logit_of_the_scales_wins() -> None:
    network = small_network(scales=(0.5, 0.75))
    images = torch.randn(2, 3, 33, 41, dtype=torch.float64)
    result = network(images)
    assert isinstance(result, TrainingLogits)
    assert result.weights == (1.0, 1.0, 1.0)
    # 33 and 41 at 1/2: 16.5 and 20.5, rounded half up; at 3/4: 24.75 and 30.75.
    single = small_network()
    sizes = ((17, 21), (25, 31), (33, 41))
    expected = []
    for size, auxiliary in zip(sizes, result.auxiliary, strict=True):
        shrunk = enlarge(images, size)[:, :, ::8, ::8]
        coarse = sum(branch(shrunk) for branch in single.branches)
        assert isinstance(coarse, Tensor)
        torch.testing.assert_close(auxiliary, coarse)
        expected.append(enlarge(coarse, (5, 6)))
    largest = torch.maximum(torch.maximum(expected[0], expected[1]), expected[2])
    torch.testing.assert_close(result.logits, enlarge(largest, (33, 41)))
    assert torch.equal(network.eval()(images), result.logits)


def test_every_scale_leaves_a_pixel_of_one() -> None:
    network = small_network(scales=(0.5, 0.75)).eval()
    image = torch.randn(1, 3, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(network(image), small_network()(image))
    with pytest.raises(ValueError, match=r"scales \(0.4, 0.75\) must be 0.5 or more"):
        small_network(scales=(0.4, 0.75))


def test_its_sizes_can_be_traced_and_so_counted_by_fvcore() -> None:
    network, size = small_network(scales=(0.5, 0.75)).float(), (33, 41)
    # Two branches of 3 x 3 x 3 x 4 weights at an eighth of each scale, and two resizings: the
    # image's, none at scale 1, and to the grid of 5 x 6; then all to the image's size.
    grids = 3 * 3 + 4 * 4 + 5 * 6
    resized = 3 * (17 * 21 + 25 * 31) + 4 * (2 * 5 * 6 + 33 * 41)
    count = count_macs_fvcore(network, size)
    assert count.macs == 2 * 9 * 3 * 4 * grids + 4 * resized, count.failure


@pytest.mark.parametrize("build", [deeplabv2_vgg16, deeplabv2_resnet101])
def test_rates_and_multi_scale_option(build) -> None:
    with weightless():
        network = build(5, width=0.125)
        multi_scale = build(5, width=0.125, is_multi_scale=True)
    rates = [
        next(m for m in branch.modules() if isinstance(m, nn.Conv2d)).dilation[0]
        for branch in network.branches
    ]
    assert rates == [6, 12, 18, 24]
    assert network.scales == ()
    assert multi_scale.scales == (0.5, 0.75)
    assert list(network.state_dict()) == list(multi_scale.state_dict())


def test_resnet_has_caffes_strides_and_plain_rates() -> None:
    encoder = deeplabv2_resnet101(5, width=0.125).encoder
    rates = [
        {
            m.dilation[0]
            for m in stage.modules()
            if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1
        }
        for stage in map(encoder.get_submodule, ("layer1", "layer2", "layer3", "layer4"))
    ]
    assert rates == [{1}, {1}, {2}, {4}]
    first = encoder.get_submodule("layer2.0.conv1")
    assert isinstance(first, nn.Conv2d)
    assert first.stride == (2, 2)
