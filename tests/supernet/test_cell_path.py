"""Sampled operations and single cells against the whole supernet under one-hot weights."""

import dataclasses

import pytest
import torch

from autoseg.architecture import CellEdge, sample_cell_architecture
from autoseg.supernet import CellSupernet, SingleCells, WeightedCells
from tests.architecture.cells import SMALL
from tests.supernet.test_cell_supernet import one_hot


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    return CellSupernet(SMALL, num_classes=3).double()


def images():
    return torch.randn(2, 3, 33, 47, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("seed", range(4))
def test_single_cells_are_the_supernet_with_one_hot_alphas(supernet, seed):
    found = sample_cell_architecture(SMALL, torch.Generator().manual_seed(seed))
    weights = (
        one_hot(SMALL, found.normal, SMALL.normal_operations),
        one_hot(SMALL, found.reduction, SMALL.reduction_operations),
    )
    torch.manual_seed(2)  # for the noise
    whole = supernet.forward_weighted(images(), *weights)
    torch.manual_seed(2)
    torch.testing.assert_close(SingleCells(supernet, found)(images()), whole)


def test_only_what_is_kept_is_evaluated_with_its_weight(supernet):
    # A node with three edges, one of them "none", and one without any input.
    normal = [
        [CellEdge(0, "none"), CellEdge(1, "none")],
        [CellEdge(0, "sep_conv_3x3"), CellEdge(1, "none"), CellEdge(2, "skip_connect")],
    ]
    reduction = [
        [CellEdge(0, "max_pool_3x3")],
        [CellEdge(1, "sep_conv_5x5"), CellEdge(2, "max_pool_3x3")],
    ]
    factors = {name: torch.rand(5).double() for name in ("normal", "reduction")}
    called = []
    hooks = [
        operation.register_forward_hook(lambda module, *_: called.append(module))
        for cell in supernet.cells
        for node in cell.nodes
        for edge in node
        for operation in edge.operations
    ]
    cells = {"normal": normal, "reduction": reduction}
    logits = WeightedCells(supernet, cells=cells, edge_weights=factors)(images())
    for hook in hooks:
        hook.remove()
    num_reductions = sum(cell.is_reduction for cell in supernet.cells)
    assert len(called) == 2 * (len(supernet.cells) - num_reductions) + 3 * num_reductions
    weights = []
    for name, operations in (
        ("normal", SMALL.normal_operations),
        ("reduction", SMALL.reduction_operations),
    ):
        weights.append(one_hot(SMALL, cells[name], operations) * factors[name][:, None])
    torch.testing.assert_close(logits, supernet.forward_weighted(images(), *weights))


def test_cells_of_another_space_are_refused(supernet):
    found = sample_cell_architecture(SMALL, torch.Generator().manual_seed(0))
    other = dataclasses.replace(found, normal=found.reduction)
    with pytest.raises(ValueError, match=r"^SingleCells: normal\[0\] has operation"):
        SingleCells(supernet, other)
