import pytest
import torch
from torch import Tensor, nn

from autoseg.networks import TrainingLogits
from autoseg.networks.deeplabv3 import (
    deeplabv3_mobilenet_v2,
    deeplabv3_mobilenet_v2_without_3x3,
    deeplabv3_resnet50,
    deeplabv3_resnet50_torchvision,
    pyramid_rates,
)


def rates(network: nn.Module, names: str, count: int) -> list[int]:
    found = [network.get_submodule(names.format(i)) for i in range(count)]
    assert all(isinstance(layer, nn.Conv2d) for layer in found)
    return [layer.dilation[0] for layer in found]


def record(network: nn.Module, name: str) -> list[Tensor]:
    """Keep the outputs of a part."""
    seen: list[Tensor] = []
    network.get_submodule(name).register_forward_hook(lambda _m, _i, output: seen.append(output))
    return seen


# Section 3.2.1 and 3.3 of the paper: the unit rates 1, 2, 4 are multiplied by the stage's.
@pytest.mark.parametrize(
    ("output_stride", "third", "fourth", "pyramid"),
    [
        (16, [1, 1, 1, 1, 1, 1], [2, 4, 8], [6, 12, 18]),
        (8, [1, 2, 2, 2, 2, 2], [4, 8, 16], [12, 24, 36]),
    ],
)
def test_rates_are_the_papers(
    output_stride: int, third: list[int], fourth: list[int], pyramid: list[int]
) -> None:
    network = deeplabv3_resnet50(5, output_stride=output_stride, width=0.125)
    assert rates(network, "encoder.layer3.{}.conv2", 6) == third
    assert rates(network, "encoder.layer4.{}.conv2", 3) == fourth
    assert rates(network, "head.0.atrous.{}.0", 3) == pyramid


def test_rates_of_torchvision() -> None:
    network = deeplabv3_resnet50_torchvision(5, width=0.125)
    assert rates(network, "encoder.layer3.{}.conv2", 6) == [1, 2, 2, 2, 2, 2]
    assert rates(network, "encoder.layer4.{}.conv2", 3) == [2, 4, 4]
    assert rates(network, "head.0.atrous.{}.0", 3) == [12, 24, 36]
    assert network.dropout.p == 0.5


@pytest.mark.parametrize(("output_stride", "expected"), [(32, (3, 6, 9)), (16, (6, 12, 18))])
def test_the_pyramid_sees_the_same_pixels(output_stride: int, expected: tuple[int, ...]) -> None:
    assert pyramid_rates(output_stride) == expected


@pytest.mark.parametrize("output_stride", [8, 16])
def test_mobilenet_at_its_output_stride(output_stride: int) -> None:
    network = deeplabv3_mobilenet_v2(5, output_stride=output_stride, width=0.125).eval()
    seen = record(network, "encoder")
    pyramid = record(network, "head.0")
    network(torch.randn(1, 3, 65, 97))
    assert not seen  # the maps are asked for by stage
    expected = (-(-65 // output_stride), -(-97 // output_stride))
    assert tuple(pyramid[0].shape[2:]) == expected
    assert network.auxiliary is None


def test_logits_are_enlarged_as_each_source_does() -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, 33, 49, dtype=torch.float64)
    paper = deeplabv3_resnet50(5, width=0.125).double().eval()
    coarse = record(paper, "head.4")
    logits = paper(images)
    # 33 = 16 * 2 + 1: with the corner pixels' centres aligned, every 16th pixel is the map's.
    torch.testing.assert_close(logits[:, :, ::16, ::16], coarse[0])

    theirs = deeplabv3_resnet50_torchvision(5, width=0.125).double().eval()
    coarse = record(theirs, "head.4")
    logits = theirs(torch.randn(1, 3, 40, 56, dtype=torch.float64))
    # Pixel i lies at (i + 1/2) / 8 - 1/2 of the map: pixels 3 and 4 are 1/16 away from centre 0.
    rows, columns = coarse[0].shape[2:]
    assert (rows, columns) == (5, 7)
    between = (logits[:, :, 3::8] + logits[:, :, 4::8]) / 2
    between = (between[..., 3::8] + between[..., 4::8]) / 2
    # Away from the border the two distances cancel where the map is linear; at the border, which
    # repeats its last value, they are 1/32 of the step.
    middle = coarse[0]
    down = (middle[:, :, 2:] - 2 * middle[:, :, 1:-1] + middle[:, :, :-2]) / 32
    inner = middle[:, :, 1:-1] + down
    across = (inner[..., 2:] - 2 * inner[..., 1:-1] + inner[..., :-2]) / 32
    torch.testing.assert_close(between[:, :, 1:-1, 1:-1], inner[..., 1:-1] + across)


def test_auxiliary_logits_are_those_of_stage_3() -> None:
    torch.manual_seed(0)
    network = deeplabv3_resnet50(5, width=0.125).double().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.Dropout | nn.Dropout2d):
            module.eval()
    images = torch.randn(2, 3, 65, 97, dtype=torch.float64)
    result = network(images)
    assert isinstance(result, TrainingLogits)
    assert result.weights == (0.5,)
    (stage_3,) = network.encoder.maps(images, stages=(3,))
    assert network.auxiliary is not None
    torch.testing.assert_close(result.auxiliary[0], network.auxiliary(stage_3))
    assert result.auxiliary[0].shape == (2, 5, 5, 7)
    network.eval()
    torch.testing.assert_close(network(images), result.logits)


def test_the_form_without_3x3_classifies_the_pyramids_result() -> None:
    torch.manual_seed(0)
    network = deeplabv3_mobilenet_v2_without_3x3(5, width=0.125).double().eval()
    pyramid, coarse = record(network, "head.0"), record(network, "head.1")
    logits = network(torch.randn(1, 3, 33, 49, dtype=torch.float64))
    assert len(network.head) == 2
    classifier = network.head[1]
    assert isinstance(classifier, nn.Conv2d)
    weight = classifier.weight[:, :, 0, 0]
    expected = torch.einsum("kc,nchw->nkhw", weight, pyramid[0])
    expected = expected + classifier.bias[:, None, None]
    torch.testing.assert_close(coarse[0], expected)
    torch.testing.assert_close(logits[:, :, ::16, ::16], coarse[0])
