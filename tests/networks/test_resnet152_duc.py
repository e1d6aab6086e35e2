import torch
import torch.nn.functional as F
from torch import nn

from autoseg.networks.duc_hdc import DUCHDC
from autoseg.networks.resnet import ResNet
from autoseg.networks.resnet152_duc import RectifiedUpsampling, resnet152_duc, resnet152_duc_hdc
from tests.networks.encoders import layouts


def rates_of(network: DUCHDC) -> list[list[int]]:
    rates: list[list[int]] = []
    for stage, num_blocks in enumerate((3, 8, 36, 3), start=1):
        rates.append([])
        for block in range(num_blocks):
            layer = network.encoder.get_submodule(f"layer{stage}.{block}.conv2")
            assert isinstance(layer, nn.Conv2d)
            assert layer.padding == layer.dilation
            assert layer.stride == ((2, 2) if stage == 2 and block == 0 else (1, 1))
            rates[-1].append(layer.dilation[0])
    return rates


def test_rates_of_every_block() -> None:
    # The implementation sets them by name: "conv2" of every block of layer3 and layer4.
    assert rates_of(resnet152_duc(2, width=0.125)) == [[1] * 3, [1] * 8, [2] * 36, [4] * 3]
    hybrid = [index for _ in range(9) for index in (1, 2, 5, 9)]
    assert rates_of(resnet152_duc_hdc(2, width=0.125)) == [[1] * 3, [1] * 8, hybrid, [5, 9, 17]]


def test_the_encoder_is_torchvisions() -> None:
    with torch.device("meta"):
        state = resnet152_duc(19).encoder.state_dict()
    layout = [entry for entry in layouts.resnet((3, 8, 36, 3)) if not entry[0].startswith("fc.")]
    assert [(key, tuple(value.shape)) for key, value in state.items()] == layout


def test_logits_are_normalised_rectified_and_rearranged() -> None:
    torch.manual_seed(0)
    head = RectifiedUpsampling(6, 3, upsampling=4).double()
    convolution, norm, _ = head.predict
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    features = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    raw = F.conv2d(features, convolution.weight, convolution.bias, padding=1)
    # Batch statistics, by the formula; weight 1 and bias 0.
    mean = raw.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((raw - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    assert isinstance(norm, nn.BatchNorm2d)
    expected = ((raw - mean) / (variance + norm.eps).sqrt()).clamp(min=0)
    logits = head(features)
    for row in range(4 * 5):
        for column in range(4 * 7):
            channels = [(label * 4 + row % 4) * 4 + column % 4 for label in range(3)]
            position = expected[:, channels, row // 4, column // 4]
            torch.testing.assert_close(logits[:, :, row, column], position)
    assert logits.min() == 0


def test_the_map_is_enlarged_without_interpolation() -> None:
    torch.manual_seed(0)
    encoder = ResNet((1, 1, 1, 1), output_stride=8, width=0.125)
    network = DUCHDC(encoder, num_classes=5, cell=1, upsampler=RectifiedUpsampling).double().eval()
    images = torch.randn(1, 3, 24, 40, dtype=torch.float64)
    expected = network.upsample(network.encoder(images))
    assert expected.shape == (1, 5, 24, 40)
    assert torch.equal(network(images), expected)
