import pytest
import torch
from torch import nn

from autoseg.networks.encoders.fully_connected import fully_connected_layers


def test_whole_windows_are_linear_layers_over_a_map() -> None:
    torch.manual_seed(0)
    layers = fully_connected_layers(3, 5, kernel_size=4, keeps_size=False).double().eval()
    first, second = layers[0], layers[3]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    assert first.bias is not None
    assert second.bias is not None
    features = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    result = layers(features)
    assert result.shape == (2, 5, 3, 2)
    for row in range(3):
        for column in range(2):
            window = features[:, :, row : row + 4, column : column + 4].flatten(1)
            hidden = (window @ first.weight.flatten(1).T + first.bias).clamp(min=0)
            expected = (hidden @ second.weight.flatten(1).T + second.bias).clamp(min=0)
            torch.testing.assert_close(result[:, :, row, column], expected)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(3, 12), (7, 4), (4, 8), (6, 2), (7, 1)])
def test_padded_layers_keep_the_size(kernel_size: int, dilation: int) -> None:
    layers = fully_connected_layers(3, 5, kernel_size=kernel_size, dilation=dilation)
    assert layers(torch.randn(1, 3, 6, 5)).shape == (1, 5, 6, 5)
    # The middle of the kernel lies over the position, or between the two in the middle.
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    assert 2 * first.padding[0] == dilation * (kernel_size - 1)
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
