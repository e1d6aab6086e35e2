import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.networks import TrainingLogits
from autoseg.networks.pspnet import PyramidPooling, pspnet_resnet50


def bin_means(features: Tensor, bins: int) -> Tensor:
    """Average over bins from floor(i * size / bins) to ceil((i + 1) * size / bins), by loops."""
    height, width = features.shape[2:]
    means = torch.zeros(*features.shape[:2], bins, bins, dtype=features.dtype)
    for row in range(bins):
        for column in range(bins):
            rows = slice(row * height // bins, -(-(row + 1) * height // bins))
            columns = slice(column * width // bins, -(-(column + 1) * width // bins))
            means[:, :, row, column] = features[:, :, rows, columns].mean(dim=(2, 3))
    return means


def test_pyramid_appends_the_projected_means_of_four_grids() -> None:
    torch.manual_seed(0)
    pyramid = PyramidPooling(6, 2).double().eval()
    features = torch.randn(2, 6, 7, 9, dtype=torch.float64)
    result = pyramid(features)
    expected = [features]
    for bins, project in zip((1, 2, 3, 6), [pyramid.whole.project, *pyramid.grids], strict=True):
        projected = project(bin_means(features, bins))
        expected.append(F.interpolate(projected, (7, 9), mode="bilinear", align_corners=True))
    torch.testing.assert_close(result, torch.cat(expected, dim=1))


def test_every_block_of_the_dense_stages_has_the_rate() -> None:
    encoder = pspnet_resnet50(5, width=0.125).encoder
    rates = [
        [
            convolution.dilation[0]
            for name, convolution in stage.named_modules()
            if isinstance(convolution, nn.Conv2d) and name.endswith("conv2")
        ]
        for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)
    ]
    assert rates == [[1] * 3, [1] * 4, [2] * 6, [4] * 3]
    strided = encoder.get_submodule("layer2.0.conv2")
    assert isinstance(strided, nn.Conv2d)
    assert strided.stride == (2, 2)


def test_trains_on_a_single_image() -> None:
    network = pspnet_resnet50(5, width=0.125).train()
    result = network(torch.randn(1, 3, 65, 73))
    assert isinstance(result, TrainingLogits)
    assert result.weights == (0.4,)
    assert result.auxiliary[0].shape == (1, 5, 9, 10)
    assert result.logits.isfinite().all()
