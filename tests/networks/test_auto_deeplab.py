"""The derived network: exact counts, geometry, and equality with the supernet it came from."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autoseg.architecture import Architecture, CellEdge, SearchSpace
from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.networks.auto_deeplab import AutoDeepLab
from autoseg.networks.derived_cell import build_cell
from autoseg.networks.drop_path import DropPath, keep_probability
from autoseg.networks.weightless import weightless
from autoseg.supernet import Supernet
from autoseg.supernet.backend import source_kernels
from autoseg.supernet.cell import CellOutput

PUBLISHED = Architecture.load("autodeeplab_paper")


SMALL_CELL = ((CellEdge(0, "sep_conv_3x3"), CellEdge(1, "skip_connect")),)


def one_path(path, cell=SMALL_CELL):
    return Architecture(space="test", strides=(4, 8, 16, 32), path=path, cell=cell)


@pytest.mark.parametrize(
    ("filter_multiplier", "num_params", "macs"),
    [
        # Of 20 filters is a case of `zoo`, in test_contract.py.
        pytest.param(32, 21_622_451, 434_985_058_304, marks=pytest.mark.nightly),
        (48, 44_424_691, 653_584_883_712),
    ],
)
def test_published_architecture_has_the_papers_size(filter_multiplier, num_params, macs):
    # Parameters: table 2 of the paper prints 10.15, 21.62 and 44.42 M. MACs of the convolutions;
    # the paper prints 333.25, 460.93 and 695.03 B, which count TensorFlow's padding as well.
    with weightless():
        network = build_network(PUBLISHED, num_classes=19, filter_multiplier=filter_multiplier)
        network.eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 1024, 2048))
    assert sum(parameter.numel() for parameter in network.parameters()) == num_params
    assert counter.get_total_flops() == 2 * macs


@pytest.mark.parametrize("size", [(65, 33), (37, 64), (128, 96)])
def test_each_cell_is_on_the_grid_of_its_stride(size):
    network = build_network(PUBLISHED, num_classes=3, filter_multiplier=4, width=0.125).eval()
    features = network.features(torch.randn(1, 3, *size))
    for stride, maps in zip(PUBLISHED.path, features, strict=True):
        expected = size
        for _ in range(stride.bit_length() - 1):
            expected = tuple((side + 1) // 2 for side in expected)
        assert maps.shape == (1, 5 * stride, *expected)  # B * F * s / 4 with F = 4
    assert network(torch.randn(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize(
    ("last", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18]), (4, [24, 48, 72])]
)
def test_aspp_rates_follow_the_last_stride(last, rates):
    path = {4: (4, 4), 8: (4, 8), 16: (8, 16)}[last]
    network = build_network(one_path(path), num_classes=3, filter_multiplier=4, width=0.125)
    assert [branch[0].dilation[0] for branch in network.aspp.atrous] == rates


def test_decoder_reads_the_third_cell():
    network = build_network(PUBLISHED, num_classes=3, filter_multiplier=4, width=0.125).eval()
    seen = {}
    network.low_level.register_forward_pre_hook(lambda _, inputs: seen.update(low=inputs[0]))
    network.cells[2].register_forward_hook(lambda _m, _i, output: seen.update(third=output))
    network(torch.randn(1, 3, 64, 64))
    assert seen["low"] is seen["third"]


def test_keep_probability_at_sample_points():
    # By hand from 1 - (t / T) * ((l + 1) / L) * (1 - p).
    assert keep_probability(1.0, 11, 12, final=0.8) == pytest.approx(0.8)
    assert keep_probability(1.0, 0, 12, final=0.8) == pytest.approx(1 - 0.2 / 12)
    assert keep_probability(0.5, 5, 12, final=0.6) == pytest.approx(0.9)
    assert keep_probability(0.0, 11, 12, final=0.1) == 1


@pytest.mark.parametrize("keep", [0.75, torch.tensor(0.75)], ids=["number", "tensor"])
def test_drop_path_drops_whole_images_and_keeps_the_mean(keep):
    torch.manual_seed(0)
    drop = DropPath()
    drop.keep = keep
    maps = torch.ones(4000, 2, 3, 1)
    dropped = drop(maps)
    per_image = dropped.flatten(1)
    assert bool(
        ((per_image == 0).all(1) | torch.isclose(per_image, torch.tensor(1 / 0.75)).all(1)).all()
    )
    # Binomial: the standard deviation of the mean is sqrt(0.75 * 0.25 / 4000) / 0.75 = 0.009.
    assert abs(dropped.mean().item() - 1) < 0.04
    assert torch.equal(drop.eval()(maps), maps)


def test_scheduled_drop_path_reaches_every_operation_but_the_identity():
    architecture = one_path(
        (4, 4, 8),
        cell=(*PUBLISHED.cell[:1], (CellEdge(2, "skip_connect"), CellEdge(1, "max_pool_3x3"))),
    )
    network = AutoDeepLab(architecture, num_classes=3, filter_multiplier=4, drop_path_keep=0.4)
    for progress in (torch.tensor(1.0), 1.0):
        network.set_training_progress(progress)
        for layer, cell in enumerate(network.cells):
            keeps = [module.keep for module in cell.modules() if isinstance(module, DropPath)]
            # 4 edges, one the identity.
            assert keeps == [pytest.approx(1 - (layer + 1) / 3 * 0.6)] * 3
            assert {type(keep) for keep in keeps} == {type(progress)}
    images = torch.randn(2, 3, 32, 32)
    network.train()
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def source_weights(edge, source, target):
    """The weights of an edge's operation, read from the supernet's stacks."""
    family, size = edge.op[: edge.op.rindex("_")], int(edge.op[-1]) if edge.op[-1].isdigit() else 0
    blocks = source.layout.weights
    if family == "atrous_conv":
        return [blocks[f"atrous{size}"].view(source.weight)[target]]
    stages = {"sep_conv": ("sep1", "sep2"), "dil_conv": ("dil",)}.get(family, ())
    weights = []
    for stage in stages:
        operation = source.layout.number(edge.op)
        weights.append(blocks[f"{stage}.depthwise{size}"].view(source.weight)[target, :, None])
        pointwise = blocks[f"{stage}.pointwise"].view(source.weight)
        weights.append(pointwise[operation, target, :, :, None, None])
    return weights


def copy_cell(derived, search_cell, k, architecture):
    """Give a derived cell the weights that the one-hot supernet's cell uses for input cell k."""
    with torch.no_grad():
        derived.previous[1].weight.copy_(search_cell.previous[k].conv.weight)
        if search_cell.previous_previous is not None:
            derived.previous_previous[1].weight.copy_(search_cell.previous_previous.conv.weight)
        for node, edges in enumerate(architecture.cell):
            for edge, module in zip(edges, derived.nodes[node].edges, strict=True):
                source = (
                    search_cell.source0
                    if edge.source == 0
                    else search_cell.sources[edge.source - 1]
                )
                if source is None:
                    continue
                first = 0 if edge.source < 2 else edge.source - 1
                weights = source_weights(edge, source, node - first)
                convolutions = [m for m in module.op.modules() if isinstance(m, torch.nn.Conv2d)]
                for convolution, weight in zip(convolutions, weights, strict=True):
                    convolution.weight.copy_(weight)


def one_hot_alpha(space, architecture):
    alpha = torch.zeros(space.num_edges, len(space.operations), dtype=torch.float64)
    for node, edges in enumerate(architecture.cell):
        for edge in edges:
            alpha[space.edge_index(edge.source, node), space.operations.index(edge.op)] = 1
    return alpha


def random_cell(space, generator):
    choices = [op for op in space.operations if op != "none"]

    def pick(count):
        return int(torch.randint(count, (), generator=generator))

    cell = []
    for node in range(space.num_nodes):
        first, second = torch.randperm(2 + node, generator=generator)[:2].tolist()
        cell.append(
            (
                CellEdge(first, choices[pick(len(choices))]),
                CellEdge(second, choices[pick(len(choices))]),
            )
        )
    return tuple(cell)


@pytest.mark.parametrize("name", ["autodeeplab", "autodeeplab_depthwise"])
@pytest.mark.parametrize("seed", range(6))
def test_one_hot_cell_equals_the_derived_cell(name, seed):
    # Each seed decodes another cell; together they use every operation on every kind of source.
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    space = dataclasses.replace(
        SearchSpace.load(name),
        num_layers=3,
        num_nodes=4,
        filter_multiplier=4,
        stem_channels=(4, 4, 6),
    )
    architecture = one_path((4, 8, 4), random_cell(space, generator))
    net = Supernet(space, num_classes=3).double()
    search_cell = net.cells["layer2_stride4"]  # input cells: strides 4 and 8
    weights = one_hot_alpha(space, architecture)[net._edge_order()]
    kernels = source_kernels("auto", "cpu")
    width = 4 * space.num_channels(4)
    before, coarser, size = (
        torch.randn(2, width, 9, 7).double(),
        torch.randn(2, 2 * width, 5, 4).double(),
        (9, 7),
    )
    same = torch.randn(2, width, 9, 7).double()
    for k, previous in enumerate((same, coarser)):
        beta = torch.zeros(2, dtype=torch.float64)
        beta[k] = 1
        derived = build_cell(
            architecture.cell,
            space.num_channels(4),
            previous_previous_channels=width,
            previous_channels=previous.shape[1],
            stride=1,
        ).double()
        copy_cell(derived, search_cell, k, architecture)
        expected = search_cell(
            [CellOutput.from_features(output, recompute=False) for output in (same, coarser)],
            CellOutput.from_features(before, recompute=False),
            weights,
            beta,
            size,
            kernels,
        )
        # float64 rounding through at most four batch norms in a row.
        torch.testing.assert_close(derived(before, previous, size), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_one_hot_path_equals_the_derived_network(seed):
    # A path without a change of stride: at a change the paper's two networks differ by definition
    # (a strided convolution before the cell in the search, strided operations in the retraining).
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    space = dataclasses.replace(
        SearchSpace.load("autodeeplab"),
        num_layers=4,
        num_nodes=3,
        filter_multiplier=4,
        stem_channels=(4, 5, 6),
    )
    architecture = one_path((4,) * 4, random_cell(space, generator))
    net = Supernet(space, num_classes=3).double()
    network = AutoDeepLab(architecture, num_classes=3, filter_multiplier=4, width=1.0).double()
    network.stem = net.stem
    network.cells[0].previous = type(network.cells[0].previous)(6, 4).double()
    network.cells[0].previous_previous = type(network.cells[0].previous)(5, 4).double()
    network.cells[1].previous_previous = type(network.cells[0].previous)(6, 4).double()
    for layer, cell in enumerate(network.cells):
        copy_cell(cell, net.cells[f"layer{layer}_stride4"], 0, architecture)
    # The supernet has no cell of stride 4 before the stem: state 0 of the first cell is absent,
    # which in the derived network is a state of zeros.
    torch.nn.init.zeros_(network.cells[0].previous_previous[1].weight)
    beta = torch.zeros(4, 4, 3, dtype=torch.float64)
    beta[:, 0, 1] = 1
    images = torch.randn(2, 3, 40, 28, dtype=torch.float64)
    expected = net.features(images, one_hot_alpha(space, architecture), beta)["stride4"]
    torch.testing.assert_close(network.features(images)[-1], expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("filter_multiplier", [0, -1, 10**9])
def test_filters_that_cannot_be_are_refused_before_anything_is_built(filter_multiplier):
    message = (
        f"AutoDeepLab: filter_multiplier {filter_multiplier}; it must be at least 1, and a cell of "
        "5 nodes at stride 32 may have 16,384 channels."
    )
    with pytest.raises(UsageError, match=f"^{message}$"):
        build_network(PUBLISHED, num_classes=3, filter_multiplier=filter_multiplier)
