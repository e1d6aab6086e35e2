import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.contract import TrainingLogits
from autoseg.networks.icnet import (
    CascadeFeatureFusion,
    PyramidPooling,
    icnet_pruned,
    icnet_resnet50,
)
from autoseg.networks.weightless import weightless


def convolution(network: nn.Module, name: str) -> nn.Conv2d:
    found = network.get_submodule(name)
    assert isinstance(found, nn.Conv2d)
    return found


class Calls:
    """Record what goes into and comes out of each call of the named parts."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        self.inputs: dict[str, list[Tensor]] = {name: [] for name in names}
        self.outputs: dict[str, list[Tensor]] = {name: [] for name in names}
        for name in names:
            self._listen(network.get_submodule(name), name)

    def _listen(self, part: nn.Module, name: str) -> None:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.inputs[name].append(inputs[0].clone())
            self.outputs[name].append(output.clone())

        part.register_forward_hook(hook)


def test_every_part_runs_once_at_its_resolution() -> None:
    network = icnet_resnet50(5, width=0.125).eval()
    names = (
        *("trunk.conv1", "trunk.layer1", "trunk.layer2.0", "trunk.layer2.1", "trunk.layer2.3"),
        *("trunk.layer3", "trunk.layer4", "reduce", "detail", "classifier"),
    )
    calls = Calls(network, names)
    network(torch.randn(1, 3, 129, 193))
    # Half of 129 x 193 is 65 x 97; channels are those of ResNet-50 over 8.
    shapes = {name: [tuple(o.shape) for o in outputs] for name, outputs in calls.outputs.items()}
    assert shapes == {
        "trunk.conv1": [(1, 16, 33, 49)],
        "trunk.layer1": [(1, 32, 17, 25)],
        "trunk.layer2.0": [(1, 64, 9, 13)],
        "trunk.layer2.1": [(1, 64, 5, 7)],
        "trunk.layer2.3": [(1, 64, 5, 7)],
        "trunk.layer3": [(1, 128, 5, 7)],
        "trunk.layer4": [(1, 256, 5, 7)],
        "reduce": [(1, 64, 5, 7)],
        "detail": [(1, 8, 17, 25)],
        "classifier": [(1, 5, 33, 49)],
    }


def test_the_shrunken_maps_are_every_second_pixel() -> None:
    # With aligned corners and sizes 2n + 1, shrinking by 2 takes pixels and averages none.
    network = icnet_resnet50(5, width=0.125).double().eval()
    calls = Calls(network, ("trunk.conv1", "trunk.layer2.0", "trunk.layer2.1"))
    images = torch.randn(1, 3, 129, 193, dtype=torch.float64)
    network(images)
    torch.testing.assert_close(calls.inputs["trunk.conv1"][0], images[:, :, ::2, ::2])
    middle = calls.outputs["trunk.layer2.0"][0]
    torch.testing.assert_close(calls.inputs["trunk.layer2.1"][0], middle[:, :, ::2, ::2])


def test_the_logits_are_enlarged_twice_with_aligned_corners() -> None:
    torch.manual_seed(0)
    network = icnet_resnet50(5, width=0.125).double().eval()
    calls = Calls(network, ("classifier",))
    fused: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        fused.append(output[0])

    network.fuse_detail.register_forward_hook(hook)
    logits = network(torch.randn(1, 3, 65, 97, dtype=torch.float64))
    # 9 x 13 at 1/8, 17 x 25 at 1/4, 65 x 97: the coarser pixels are among the finer ones, and a
    # new one half way between two has their mean.
    quarter, coarse = calls.inputs["classifier"][0], fused[0]
    torch.testing.assert_close(quarter[:, :, ::2, ::2], coarse)
    torch.testing.assert_close(quarter[:, :, 1::2, ::2], (coarse[:, :, 1:] + coarse[:, :, :-1]) / 2)
    scores = calls.outputs["classifier"][0]
    torch.testing.assert_close(logits[:, :, ::4, ::4], scores)
    torch.testing.assert_close(logits[:, :, ::4, 2::4], (scores[..., 1:] + scores[..., :-1]) / 2)


def test_the_trunks_map_passes_the_pyramid() -> None:
    torch.manual_seed(0)
    network = icnet_resnet50(5, width=0.125).double().eval()
    calls = Calls(network, ("trunk.layer4", "reduce"))
    network(torch.randn(1, 3, 129, 193, dtype=torch.float64))
    expected = PyramidPooling()(calls.outputs["trunk.layer4"][0])
    torch.testing.assert_close(calls.inputs["reduce"][0], expected)


def test_trunk_has_the_releases_strides_and_rates() -> None:
    trunk = icnet_resnet50(5, width=0.125).trunk
    for stage, num_blocks, rate in ((1, 3, 1), (2, 4, 1), (3, 6, 2), (4, 3, 4)):
        for block in range(num_blocks):
            assert convolution(trunk, f"layer{stage}.{block}.conv2").dilation == (rate, rate)
    strides = [convolution(trunk, f"layer{stage}.0.conv1").stride for stage in (1, 2, 3, 4)]
    assert strides == [(1, 1), (2, 2), (1, 1), (1, 1)]


def test_pyramid_pooling_adds_the_enlarged_averages() -> None:
    size = 6
    generator = np.random.default_rng(0)
    features = generator.normal(size=(2, 3, size, size))
    expected = features.copy()
    for bins in (1, 2, 3, 6):
        average = np.kron(np.eye(bins), np.full((1, size // bins), bins / size))
        # Row i of the enlarged map lies at i * (bins - 1) / (size - 1) of the small one.
        enlarge = np.ones((size, 1))
        if bins > 1:
            at = np.arange(size) * (bins - 1) / (size - 1)
            enlarge = np.clip(1 - np.abs(at[:, None] - np.arange(bins)), 0, None)
        side = enlarge @ average
        expected += side @ features @ side.T
    result = PyramidPooling()(torch.from_numpy(features))
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-10, atol=1e-10)
    assert not list(PyramidPooling().parameters())


def test_fusion_projects_enlarges_and_adds() -> None:
    torch.manual_seed(0)
    fuse = CascadeFeatureFusion(4, 6, 7).double().eval()
    norms = [layer for layer in fuse.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.normal_(layer.bias)
    coarse = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    fine = torch.randn(2, 6, 5, 9, dtype=torch.float64)
    fused, enlarged = fuse(coarse, fine)
    # 5 = 2 * 3 - 1: the old pixels stay, each new one is the mean of its two neighbours.
    rows = torch.zeros(2, 4, 5, 5, dtype=torch.float64)
    rows[:, :, ::2] = coarse
    rows[:, :, 1::2] = (coarse[:, :, 1:] + coarse[:, :, :-1]) / 2
    expected = torch.zeros(2, 4, 5, 9, dtype=torch.float64)
    expected[..., ::2] = rows
    expected[..., 1::2] = (rows[..., 1:] + rows[..., :-1]) / 2
    torch.testing.assert_close(enlarged, expected)

    def norm(values: Tensor, layer: nn.BatchNorm2d) -> Tensor:
        # Running statistics are still 0 and 1.
        scale = layer.weight / (1 + layer.eps) ** 0.5
        return values * scale[:, None, None] + layer.bias[:, None, None]

    around = F.conv2d(expected, convolution(fuse, "coarse.0").weight, padding=2, dilation=2)
    pointwise = convolution(fuse, "fine.0").weight[:, :, 0, 0]
    across = torch.einsum("oi,nihw->nohw", pointwise, fine)
    summed = norm(around, norms[0]) + norm(across, norms[1])
    torch.testing.assert_close(fused, summed.clamp(min=0))


@pytest.mark.parametrize(("height", "width"), [(97, 131), (64, 96)])
def test_label_guidance_at_a_16th_and_an_8th(height: int, width: int) -> None:
    torch.manual_seed(0)
    network = icnet_resnet50(5, width=0.125).train()
    result = network(torch.randn(2, 3, height, width))
    assert isinstance(result, TrainingLogits)
    assert result.weights == (0.16, 0.4)
    sizes = [tuple(auxiliary.shape[2:]) for auxiliary in result.auxiliary]
    assert sizes == [(-(-height // step), -(-width // step)) for step in (16, 8)]


def test_guidance_reads_the_enlarged_coarse_maps() -> None:
    torch.manual_seed(0)
    network = icnet_resnet50(5, width=0.125).double()
    enlarged: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        enlarged.append(output[1])

    for part in (network.fuse_middle, network.fuse_detail):
        part.register_forward_hook(hook)
    result = network.train()(torch.randn(2, 3, 97, 131, dtype=torch.float64))
    assert isinstance(result, TrainingLogits)
    for logits, classify, features in zip(
        result.auxiliary, network.auxiliary, enlarged, strict=True
    ):
        assert isinstance(classify, nn.Conv2d)
        assert classify.bias is not None
        expected = torch.einsum("ki,nihw->nkhw", classify.weight[:, :, 0, 0], features)
        torch.testing.assert_close(logits, expected + classify.bias[:, None, None])


@pytest.mark.parametrize(
    ("build", "stage_channels", "coarse_channels", "with_auxiliary"),
    [
        (icnet_resnet50, (256, 512, 1024, 2048), 512, 25_524_659 + (512 + 128 + 2) * 19),
        (icnet_pruned, (128, 256, 512, 1024), 256, 6_699_987 + (256 + 128 + 2) * 19),
    ],
)
def test_widths_of_the_two_forms(build, stage_channels, coarse_channels, with_auxiliary) -> None:
    with weightless():
        network = build(19)
    assert network.trunk.stage_channels == stage_channels
    assert convolution(network, "reduce.0").out_channels == coarse_channels
    # The full-resolution branch and the fusion keep their widths in the pruned form.
    detail = [convolution(network, f"detail.{block}.0").out_channels for block in (0, 1, 2)]
    assert detail == [32, 32, 64]
    assert network.classifier.in_channels == 128
    assert sum(parameter.numel() for parameter in network.parameters()) == with_auxiliary
