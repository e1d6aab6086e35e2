"""What a search remembers of its last epochs."""

import dataclasses

import pytest
import torch

from autoseg.architecture import SearchSpace
from autoseg.strategies.decode_history import NUM_EPOCHS, DecodeHistory
from autoseg.supernet import Supernet

SPACE = dataclasses.replace(
    SearchSpace.load("autodeeplab"),
    num_layers=2,
    num_nodes=1,
    filter_multiplier=2,
    stem_channels=(3, 4, 5),
)


@pytest.fixture
def supernet():
    torch.manual_seed(0)
    return Supernet(SPACE, num_classes=3)


def point_to(supernet, direction):
    """Make beta lead to a direction, as an epoch of the search might."""
    with torch.no_grad():
        supernet.beta.zero_()
        supernet.beta[..., direction] = 1.0
        supernet.alpha.add_(1e-6)


def test_compares_with_the_last_epochs_and_forgets_older_ones(supernet):
    history = DecodeHistory()
    point_to(supernet, 1)
    assert history.decode(supernet).agreement is None
    for _ in range(NUM_EPOCHS):
        point_to(supernet, 2)
        decoded = history.decode(supernet)
    assert decoded.architecture.path == (8, 16)
    assert decoded.agreement.num_decodes == NUM_EPOCHS
    assert decoded.agreement.path == (NUM_EPOCHS - 1) / NUM_EPOCHS  # the oldest led elsewhere
    point_to(supernet, 2)
    assert history.decode(supernet).agreement.path == 1.0


def test_epochs_of_the_warm_up_are_no_agreement(supernet):
    history = DecodeHistory()
    for _ in range(3):
        assert history.decode(supernet).agreement is None


def test_decodes_as_the_supernet_does():
    for rules in ({}, {"path_rule": "unbiased"}, {"beta_norm": "two-thirds"}):
        for seed in range(5):
            torch.manual_seed(seed)
            net = Supernet(SPACE, num_classes=3, **rules)
            decoded = DecodeHistory().decode(net)
            assert decoded.architecture == net.decode()
            assert {**rules}.items() <= dataclasses.asdict(decoded).items()


def test_goes_on_from_its_state(supernet):
    history, resumed = DecodeHistory(), DecodeHistory()
    for direction in (1, 2, 1):
        point_to(supernet, direction)
        history.decode(supernet)
    resumed.load_state_dict(history.state_dict())
    point_to(supernet, 2)
    assert resumed.decode(supernet) == history.decode(supernet)
