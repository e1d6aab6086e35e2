"""Networks of cell architectures: DARTS' published sizes, geometry, and dropped paths."""

import dataclasses

import pytest
import torch
from torch import nn

from autoseg.contract import TrainingLogits
from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.networks.darts_cells import CellClassifier, CellNetwork, build_cells, run_cells
from autoseg.networks.drop_path import DropPath
from autoseg.networks.weightless import weightless
from autoseg.ops import FactorizedReduce, Noise, StemShape, cell_places, reduction_cells
from tests.architecture.cells import DARTS_V1, DARTS_V2, cell

TINY = dataclasses.replace(DARTS_V2, num_cells=5)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "num_params"), [(DARTS_V1, 3_169_414), (DARTS_V2, 3_349_342)]
)
def test_darts_networks_have_their_published_sizes(architecture, num_params):
    # CIFAR-10, C = 36, 20 cells: the sizes that DARTS' code logs, 3.3 M in table 1; 3.83 M with the
    # auxiliary classifier, as other libraries publish the second one.
    with weightless():
        network = CellClassifier(architecture, num_classes=10, has_auxiliary=True)
    assert count(network) == num_params + 476_426
    assert count(network.auxiliary) == 476_426


def test_the_reductions_lie_at_a_third_and_at_two_thirds():
    assert [reduction_cells(length) for length in (3, 8, 20)] == [(1, 2), (2, 5), (6, 13)]
    places = cell_places(8, 16, num_nodes=4, stem=StemShape(48, 48, halves=False))
    assert [place.channels for place in places] == [16, 16, 32, 32, 32, 64, 64, 64]
    assert [place.previous_channels for place in places] == [48, 64, 64, 128, 128, 128, 256, 256]
    after = [place.is_after_reduction for place in places]
    assert after == [False, False, False, True, False, False, True, False]


@pytest.mark.parametrize("size", [(65, 33), (36, 52)])
def test_cells_are_at_strides_4_8_and_16(size):
    network = build_network(TINY, num_classes=3, filter_multiplier=2, width=0.125)
    assert isinstance(network, CellNetwork)
    images = torch.randn(2, 3, *size)
    outputs = run_cells(network.cells, *network.stem(images))
    for number, (maps, stride) in enumerate(zip(outputs, (4, 8, 8, 16, 16), strict=True)):
        expected = [-(-side // stride) for side in size]
        assert list(maps.shape) == [2, 4 * stride // 2, *expected], number
    assert network.early_cell == 0
    assert network.eval()(images).shape == (2, 3, *size)
    network(images).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_auxiliary_classifier_serves_training_alone():
    network = CellClassifier(TINY, num_classes=10, channels=2, has_auxiliary=True)
    images = torch.randn(2, 3, 32, 32)
    trained = network(images)
    assert isinstance(trained, TrainingLogits)
    assert trained.logits.shape == trained.auxiliary[0].shape == (2, 10)
    assert trained.weights == (0.4,)  # DARTS, section A.1.2
    assert network.eval()(images).shape == (2, 10)


def test_paths_are_dropped_by_the_share_of_the_training():
    network = CellNetwork(TINY, num_classes=2, filter_multiplier=2, width=0.125, drop_path_keep=0.8)
    drops = [module for module in network.modules() if isinstance(module, DropPath)]
    # Skip connections of stride 1 are identities, which are never dropped: two of eight edges in
    # each of the three normal cells, and three of eight in both reduction cells, from nodes.
    assert len(drops) == 3 * 6 + 2 * 5
    assert {drop.keep for drop in drops} == {1.0}
    network.set_training_progress(0.5)
    assert [drop.keep for drop in drops] == pytest.approx([0.9] * len(drops))


def test_factorised_reduction_reads_every_second_pixel_twice():
    reduce = FactorizedReduce(3, 5).double().eval()
    with torch.no_grad():
        reduce.norm.running_var.fill_(1 - reduce.norm.eps)
    for height, width in ((6, 8), (5, 7)):
        maps = torch.randn(2, 3, height, width, dtype=torch.float64)
        active = maps.clamp(min=0)
        odd = torch.zeros(2, 3, -(-height // 2), -(-width // 2), dtype=torch.float64)
        odd[:, :, : height // 2, : width // 2] = active[:, :, 1::2, 1::2]
        expected = torch.cat(
            [
                torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], pixels)
                for conv, pixels in ((reduce.even, active[:, :, ::2, ::2]), (reduce.odd, odd))
            ],
            dim=1,
        )
        torch.testing.assert_close(reduce(maps), expected)


def test_noise_knows_nothing_of_the_map():
    maps = torch.randn(4, 8, 15, 9)
    torch.manual_seed(1)
    first = Noise(2)(maps)
    torch.manual_seed(1)
    assert torch.equal(first, Noise(2)(maps * 3 + 1))
    assert first.shape == (4, 8, 8, 5)
    assert abs(first.mean()) < 0.1 and abs(first.std() - 1) < 0.1


def test_pooling_has_no_batch_norm_in_the_end():
    pools = dataclasses.replace(TINY, normal=cell("max0 avg1"), reduction=cell("max0 avg1"))
    built = build_cells(pools, 2, stem=StemShape(6, 6, halves=False))
    norms = [module for module in built.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 2 * 5  # those of the inputs


@pytest.mark.parametrize("filter_multiplier", [1, 2000])
def test_a_width_that_cannot_be_is_refused(filter_multiplier):
    with pytest.raises(UsageError, match=f"filter_multiplier {filter_multiplier}; it must be at"):
        build_network(TINY, num_classes=2, filter_multiplier=filter_multiplier)
    with pytest.raises(UsageError, match="encoder 'resnet50' was given for an architecture"):
        build_network(TINY, num_classes=2, encoder="resnet50")
