"""The average of weights against the recursion in float64."""

import pytest
import torch
from torch import nn

from autoseg.training.averaging import averaged_network


def test_equals_the_recursion() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    average = averaged_network(network, 0.6)
    expected: dict[str, torch.Tensor] = {}
    for step in range(12):
        for parameter in network.parameters():
            nn.init.normal_(parameter)
        network(torch.randn(5, 3, dtype=torch.float64))  # moves the statistics
        average.update_parameters(network)
        # The first average is the weights; later it keeps (1 + n) / (10 + n), at most 0.6, of n.
        share = min(0.6, (1 + step) / (10 + step)) if step else 0.0
        for name, value in network.state_dict().items():
            kept = expected.get(name, torch.zeros_like(value))
            mixed = share * kept + (1 - share) * value
            expected[name] = mixed if value.is_floating_point() else value.clone()
    assert (1 + 11) / (10 + 11) < 0.6 < 1
    for name, value in average.module.state_dict().items():
        # float64; another order of addition, over twelve steps.
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-14)
    assert int(average.module.state_dict()["1.num_batches_tracked"]) == 12


def test_the_trained_network_is_left_alone() -> None:
    network = nn.Linear(2, 2)
    before = [parameter.clone() for parameter in network.parameters()]
    average = averaged_network(network, 0.9)
    average.update_parameters(network)
    with torch.no_grad():
        for parameter in average.module.parameters():
            parameter.zero_()
    for parameter, value in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_a_long_constant_is_reached(decay: float) -> None:
    network = nn.Linear(1, 1)
    average = averaged_network(network, decay)
    for _ in range(50):
        average.update_parameters(network)
    torch.testing.assert_close(average.module.weight, network.weight)
