from torch import nn

from autoseg.networks.outputs import inference_parameters


def test_inference_parameters_leave_the_training_only_parts_out() -> None:
    network = nn.Module()
    network.auxiliary = nn.ModuleList([nn.Linear(3, 2), nn.Linear(5, 2)])
    network.auxiliary_statistics = nn.Linear(7, 2)  # another attribute, despite its beginning
    network.trunk = nn.Module()
    network.trunk.auxiliary = nn.Linear(11, 2)  # not the network's own
    counted = sum(parameter.numel() for parameter in inference_parameters(network))
    assert counted == (7 * 2 + 2) + (11 * 2 + 2)
    extended = nn.Module()
    extended.network = network
    extended.last = nn.Linear(13, 2)
    counted = sum(parameter.numel() for parameter in inference_parameters(extended))
    assert counted == (7 * 2 + 2) + (11 * 2 + 2) + (13 * 2 + 2)
