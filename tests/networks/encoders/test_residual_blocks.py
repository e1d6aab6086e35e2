import pytest
import torch
from torch import Tensor, nn

from autoseg.networks.encoders.residual_blocks import BasicBlock, Bottleneck, SqueezeExcitation


def randomise_(network: nn.Module) -> None:
    """Give every weight and statistic a random value, so that borders and shortcuts matter."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values)
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)


def norm(values: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
    shift = layer.bias - layer.running_mean * scale
    return values * scale[:, None, None] + shift[:, None, None]


def pointwise(values: Tensor, layer: nn.Conv2d) -> Tensor:
    return torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], values)


def around(values: Tensor, layer: nn.Conv2d) -> Tensor:
    """Sum the nine shifted and weighted maps of a 3x3 convolution at stride 1."""
    rate = layer.dilation[0]
    height, width = values.shape[2:]
    padded = nn.functional.pad(values, (rate, rate, rate, rate))
    total = 0
    for row in range(3):
        for column in range(3):
            window = padded[:, :, row * rate :, column * rate :][:, :, :height, :width]
            total = total + torch.einsum("oi,nihw->nohw", layer.weight[:, :, row, column], window)
    assert isinstance(total, Tensor)
    return total


def gated(values: Tensor, gate: SqueezeExcitation) -> Tensor:
    """Compute section 3 of the paper with matrices."""
    means = values.sum(dim=(2, 3)) / values[0, 0].numel()
    squeezed = means @ gate.fc1.weight[:, :, 0, 0].T + gate.fc1.bias
    excited = squeezed.clamp(min=0) @ gate.fc2.weight[:, :, 0, 0].T + gate.fc2.bias
    return values / (1 + torch.exp(-excited))[:, :, None, None]


@pytest.mark.parametrize("has_gate", [False, True])
@pytest.mark.parametrize("rate", [1, 3])
def test_bottleneck_is_the_papers(rate: int, has_gate: bool) -> None:
    torch.manual_seed(0)
    block = Bottleneck(20, 5, dilation=rate, has_gate=has_gate).double().eval()
    randomise_(block)
    features = torch.randn(2, 20, 6, 7, dtype=torch.float64)
    inner = norm(pointwise(features, block.conv1), block.bn1).clamp(min=0)
    inner = norm(around(inner, block.conv2), block.bn2).clamp(min=0)
    outer = norm(pointwise(inner, block.conv3), block.bn3)
    assert (block.se is not None) == has_gate
    if block.se is not None:
        outer = gated(outer, block.se)
    torch.testing.assert_close(block(features), (outer + features).clamp(min=0))


@pytest.mark.parametrize("rates", [(1, 1), (1, 2), (3, 3)])
def test_basic_block_is_the_papers(rates: tuple[int, int]) -> None:
    torch.manual_seed(0)
    first, second = rates
    block = BasicBlock(5, 5, dilation=first, second_dilation=second).double().eval()
    randomise_(block)
    assert (block.conv1.dilation[0], block.conv2.dilation[0]) == rates
    features = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    inner = norm(around(features, block.conv1), block.bn1).clamp(min=0)
    outer = norm(around(inner, block.conv2), block.bn2)
    torch.testing.assert_close(block(features), (outer + features).clamp(min=0))


@pytest.mark.parametrize("block", [BasicBlock(4, 8), BasicBlock(4, 4, stride=2)])
def test_a_projection_where_the_input_does_not_fit(block: BasicBlock) -> None:
    torch.manual_seed(0)
    randomise_(block)
    block = block.double().eval()
    assert block.downsample is not None
    convolution, batch_norm = block.downsample
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(batch_norm, nn.BatchNorm2d)
    features = torch.randn(2, 4, 6, 7, dtype=torch.float64)
    step = block.conv1.stride[0]
    # Without its residual the block is its shortcut after ReLU.
    nn.init.zeros_(block.bn2.weight)
    nn.init.zeros_(block.bn2.bias)
    expected = norm(pointwise(features[:, :, ::step, ::step], convolution), batch_norm)
    torch.testing.assert_close(block(features), expected.clamp(min=0))
