import pytest
import torch
from torch import nn

from autoseg.networks.auxiliary import auxiliary_classifier


@pytest.mark.parametrize(("drops_channels", "dropout"), [(False, nn.Dropout), (True, nn.Dropout2d)])
def test_layers_and_parameters(drops_channels, dropout) -> None:
    classifier = auxiliary_classifier(6, 4, 3, dropout=0.3, drops_channels=drops_channels)
    kinds = [type(layer) for layer in classifier]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, dropout, nn.Conv2d]
    num_params = sum(parameter.numel() for parameter in classifier.parameters())
    assert num_params == 9 * 6 * 4 + 2 * 4 + 4 * 3 + 3
    assert [layer.p for layer in classifier if isinstance(layer, dropout)] == [0.3]
    assert classifier.eval()(torch.randn(2, 6, 5, 7)).shape == (2, 3, 5, 7)
