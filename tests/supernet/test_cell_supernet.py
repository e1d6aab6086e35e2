"""The supernet of a cell space: published sizes, every edge by formulas, and its decoded cells."""

import dataclasses

import pytest
import torch
from torch import nn

from autoseg.architecture import CellSpace, sample_cell_architecture
from autoseg.networks.darts_cells import build_cells, run_cells
from autoseg.networks.weightless import weightless
from autoseg.ops import StemShape
from autoseg.supernet import CellClassifierSupernet, CellSupernet
from tests.architecture.cells import SMALL
from tests.supernet import naive_cells


@pytest.mark.parametrize(
    ("name", "num_weights", "num_alphas"),
    [
        ("darts_cells", 1_930_618, 224),
        ("robust_s1", 405_146, 56),
        ("robust_s2", 665_466, 56),
        ("robust_s3", 665_466, 84),
        # S2 without the skip connections of stride 2: C^2 weights on 8 edges at C = 32 and 64.
        ("robust_s4", 665_466 - 8 * (32**2 + 64**2), 56),
    ],
)
def test_the_supernets_have_their_published_sizes(name, num_weights, num_alphas):
    # CIFAR-10, C = 16, 8 cells: the sizes that DARTS' and RobustDARTS' codes log.
    with weightless():
        supernet = CellClassifierSupernet(CellSpace.load(name), num_classes=10)
    weights, alphas = supernet.weight_parameters(), supernet.arch_parameters()
    assert sum(each.numel() for each in weights) == num_weights
    assert sum(each.numel() for each in alphas) == num_alphas
    assert len(weights) + len(alphas) == len(list(supernet.parameters()))


@pytest.mark.parametrize("space", [SMALL, CellSpace.load("darts_cells", preset="tiny")])
def test_every_edge_computes_its_formula(space):
    torch.manual_seed(0)
    supernet = CellSupernet(space, num_classes=3).double()
    assert {mixed.is_reduction for mixed in supernet.cells} == {True, False}
    for mixed in supernet.cells:
        is_reduction = mixed.is_reduction
        operations = space.reduction_operations if is_reduction else space.normal_operations
        alpha = torch.randn(len(operations), len(operations[0]), dtype=torch.float64)
        inputs, states = random_inputs(mixed)
        edges = [edge for node in mixed.nodes for edge in node]

        def evaluate(row, name, state, stride, edges=edges, operations=operations):
            if name == "noise":  # drawn in the same order
                return torch.randn(state[:, :, ::stride, ::stride].shape, dtype=state.dtype)
            number = edges[row].columns.index(operations[row].index(name))
            weights = list(edges[row].operations[number].parameters())
            return naive_cells.operation(name, weights, state, stride)

        torch.manual_seed(1)
        expected = naive_cells.cell(states, operations, alpha, evaluate, is_reduction=is_reduction)
        torch.manual_seed(1)
        torch.testing.assert_close(mixed(*inputs, alpha), expected)


def random_inputs(mixed):
    """Outputs of two earlier cells, and the states that the cell makes of them by the formulas."""
    *first, second = (m for m in mixed.inputs.modules() if isinstance(m, nn.Conv2d))
    is_larger = len(first) == 2
    two_before = torch.randn(2, first[0].in_channels, *((16, 24) if is_larger else (8, 12)))
    before = torch.randn(2, second.in_channels, 8, 12)
    inputs = two_before.double(), before.double()
    weights = [convolution.weight for convolution in first]
    shrunk = (
        naive_cells.reduce(inputs[0], *weights)
        if is_larger
        else naive_cells.normalise(naive_cells.pointwise(inputs[0].clamp(min=0), *weights))
    )
    mapped = naive_cells.pointwise(inputs[1].clamp(min=0), second.weight)
    return inputs, [shrunk, naive_cells.normalise(mapped)]


def one_hot(space, cell, operations):
    """Weights under which a supernet's cell is this one."""
    weights = torch.zeros(len(operations), len(operations[0]), dtype=torch.float64)
    first = 0
    for node, edges in enumerate(cell):
        for edge in edges:
            row = first + edge.source
            weights[row, operations[row].index(edge.op)] = 1
        first += 2 + node
    return weights


def test_a_decoded_network_is_the_supernet_with_one_hot_weights():
    # Without pooling, which alone loses its batch norm.
    names = ("none", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")
    space = dataclasses.replace(
        SMALL, normal_operations=(names,) * 5, reduction_operations=(names,) * 5
    )
    torch.manual_seed(3)
    supernet = CellSupernet(space, num_classes=2).double()
    found = sample_cell_architecture(space, torch.Generator().manual_seed(2))
    found = dataclasses.replace(found, num_cells=space.num_cells)
    cells = build_cells(found, space.filter_multiplier, stem=StemShape(8, 12, halves=True)).double()
    for mixed, built in zip(supernet.cells, cells, strict=True):
        built.inputs.load_state_dict(mixed.inputs.state_dict(), strict=False)
        kept = found.reduction if mixed.is_reduction else found.normal
        for candidates, node, edges in zip(mixed.nodes, built.nodes, kept, strict=True):
            for derived, (source, op) in zip(node.edges, edges, strict=True):
                place = candidates[source].columns.index(names.index(op))
                trained = candidates[source].operations[place]
                derived.op.load_state_dict(trained.state_dict(), strict=False)
    half, quarter = (torch.randn(2, *shape).double() for shape in ((8, 18, 30), (12, 9, 15)))
    weights = [one_hot(space, found.normal, space.normal_operations)]
    weights.append(one_hot(space, found.reduction, space.reduction_operations))
    expected = supernet.run_cells(half, quarter, *weights)
    for own, other in zip(run_cells(cells, half, quarter), expected, strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize("size", [(33, 47), (64, 32)])
def test_it_segments_images_of_any_size(size):
    supernet = CellSupernet(SMALL, num_classes=3, in_channels=4)
    logits = supernet(torch.randn(2, 4, *size))
    assert logits.shape == (2, 3, *size)
    with supernet.only_gradients_of(supernet.arch_parameters()):
        supernet(torch.randn(2, 4, *size)).square().mean().backward()
    assert all(bool(each.grad.abs().sum() > 0) for each in supernet.arch_parameters())
    assert all(each.grad is None for each in supernet.weight_parameters())
    assert supernet.decode().num_cells == SMALL.retrain_num_cells


def test_norms_of_cells_alone_have_no_scale():
    supernet = CellSupernet(SMALL, num_classes=3)
    norms = {name: m for name, m in supernet.named_modules() if isinstance(m, nn.BatchNorm2d)}
    affine = {name.split(".")[0] for name, norm in norms.items() if norm.affine}
    plain = {name.split(".")[0] for name, norm in norms.items() if not norm.affine}
    assert (affine, plain) == ({"stem", "head"}, {"cells"})
