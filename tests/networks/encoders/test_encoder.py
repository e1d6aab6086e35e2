import torch
from torch import nn

from autoseg.networks.encoders.encoder import maps_after


class Add(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.num_calls = 0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.num_calls += 1
        return features + self.value


def test_maps_are_those_after_the_named_layers_in_the_order_asked() -> None:
    layers = [Add(value) for value in (1, 10, 100, 1000, 10000)]
    start = torch.zeros(1)
    maps = maps_after(layers, start, ends=(0, 2, 3), stages=(2, 1))
    assert [value.item() for value in maps] == [111, 1]
    assert [layer.num_calls for layer in layers] == [1, 1, 1, 0, 0]
