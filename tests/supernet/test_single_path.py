"""A single path against the one-hot supernet, of which it evaluates a part."""

import dataclasses
import re

import pytest
import torch
import torch.nn.functional as F

from autoseg.architecture import Architecture, CellEdge, SearchSpace, sample_architecture
from autoseg.ops import resize
from autoseg.supernet import SinglePath, Supernet, estimate_statistics
from autoseg.supernet.batch_norm import RunningStatistics
from tests.supernet.test_supernet import BOTH_FAMILIES, random_supernet, small_space


def one_hot(space, architecture):
    """Alpha and beta whose weights are 1 on the architecture and 0 elsewhere."""
    alpha = torch.zeros(space.num_edges, len(space.operations), dtype=torch.float64)
    for node, edges in enumerate(architecture.cell):
        for source, op in edges:
            alpha[space.edge_index(source, node), space.operations.index(op)] = 1
    beta, before = torch.zeros(space.num_layers, space.num_levels, 3, dtype=torch.float64), 0
    for layer, stride in enumerate(architecture.path):
        level = space.strides.index(stride)
        beta[layer, before, level - before + 1] = 1
        before = level
    return alpha, beta


def supernet_logits(net, architecture, images):
    """Logits of the one-hot supernet, of the head at the path's last stride."""
    features = net.features(images, *one_hot(net.space, architecture))
    name = f"stride{architecture.path[-1]}"
    return resize(net.heads[name](features[name]), images.shape[2:], align_corners=False)


def gradients(net, logits, target):
    net.zero_grad(set_to_none=True)
    F.cross_entropy(logits, target).backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in net.named_parameters()
        if name not in ("alpha", "beta")
    }


def with_path(space, path, seed=0):
    drawn = sample_architecture(space, torch.Generator().manual_seed(seed))
    return dataclasses.replace(drawn, path=path)


SPACE = small_space(operations=BOTH_FAMILIES, num_layers=4, num_nodes=3)
# Strides kept, left and returned to: state 0 is the stem, absent, or the cell two layers before.
PATHS = [(4, 4, 4, 4), (8, 16, 32, 32), (4, 8, 4, 8), (8, 8, 4, 8), (4, 4, 8, 16), (8, 4, 4, 4)]


@pytest.mark.parametrize(
    ("path", "seed"),
    [
        # The seed draws a cell: every path daily, and both cells.
        pytest.param(path, seed, marks=() if number % 2 == seed else pytest.mark.nightly)
        for seed in (0, 1)
        for number, path in enumerate(PATHS)
    ],
)
def test_equals_the_one_hot_supernet_in_logits_and_gradients(path, seed):
    architecture = with_path(SPACE, path, seed)
    net = random_supernet(SPACE, backend="torch", seed=seed)
    images = torch.randn(3, 3, 37, 45, dtype=torch.float64)
    target = torch.randint(5, (3, 37, 45))
    expected = supernet_logits(net, architecture, images)
    logits = SinglePath(net, architecture)(images)
    # 1e-9: float64 rounding, grown by batch norm over maps of few pixels.
    assert (logits - expected).abs().max() <= 1e-9 * expected.abs().max()
    got, want = gradients(net, logits, target), gradients(net, expected, target)
    largest = max(gradient.abs().max() for gradient in want.values())
    for name, gradient in want.items():
        scale = max(gradient.abs().max(), 1e-3 * largest)
        assert (got[name] - gradient).abs().max() <= 1e-8 * scale, name
    assert sum(bool(gradient.any()) for gradient in want.values()) > 10


@pytest.mark.parametrize("path", PATHS)
def test_equals_the_one_hot_supernet_in_evaluation(path):
    architecture = with_path(SPACE, path)
    net = random_supernet(SPACE, backend="torch")
    batches = [torch.randn(2, 3, 33, 40, dtype=torch.float64) for _ in range(3)]

    class OneHot(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, images):
            return supernet_logits(net, architecture, images)

    # All statistics of the one-hot supernet, those of absent states included, are its own.
    estimate_statistics(OneHot(), batches)
    net.eval()
    images = torch.randn(1, 3, 50, 41, dtype=torch.float64)
    expected = supernet_logits(net, architecture, images)
    assert (
        SinglePath(net, architecture)(images) - expected
    ).abs().max() <= 1e-9 * expected.abs().max()


def test_running_statistics_of_what_is_evaluated_are_those_of_the_one_hot_supernet():
    architecture = with_path(SPACE, (4, 8, 8, 4))
    nets = [random_supernet(SPACE, backend="torch") for _ in range(2)]
    images = torch.randn(3, 3, 37, 45, dtype=torch.float64)
    supernet_logits(nets[0], architecture, images)
    SinglePath(nets[1], architecture)(images)
    expected, moved = dict(nets[0].named_buffers()), 0
    fresh = dict(random_supernet(SPACE, backend="torch").named_buffers())
    for name, got in nets[1].named_buffers():
        is_moved = got != fresh[name]
        moved += int(is_moved.sum())
        assert torch.allclose(got[is_moved].double(), expected[name][is_moved].double(), rtol=1e-9)
    assert moved > 200


def test_weights_that_take_no_part_get_no_gradient():
    architecture = with_path(SPACE, (4, 4, 8, 8))
    net = random_supernet(SPACE, backend="torch")
    path = SinglePath(net, architecture)
    path(torch.randn(2, 3, 32, 32, dtype=torch.float64)).sum().backward()
    trained = {
        name.split(".")[1]
        for name, p in net.cells.named_parameters(prefix="c")
        if p.grad is not None
    }
    assert trained == {"layer0_stride4", "layer1_stride4", "layer2_stride8", "layer3_stride8"}
    assert net.alpha.grad is net.beta.grad is None
    assert {name for name, head in net.heads.items() if head[1].bias.grad is not None} == {
        "stride8"
    }
    # It holds the supernet's own parameters, so that training the one trains the other.
    assert {id(p) for p in path.parameters()} == {id(p) for p in net.parameters()}


def test_only_the_operations_of_the_cell_get_gradients():
    space = small_space(num_layers=1, num_nodes=1)
    architecture = Architecture(
        space=space.name,
        strides=space.strides,
        path=(4,),
        cell=((CellEdge(0, "skip_connect"), CellEdge(1, "sep_conv_5x5")),),
    )
    net = random_supernet(space, backend="torch")
    SinglePath(net, architecture)(torch.randn(2, 3, 32, 32, dtype=torch.float64)).sum().backward()
    (source,) = net.cells["layer0_stride4"].sources
    used = {
        name
        for name, block in source.layout.weights.items()
        if block.view(source.weight.grad).any()
    }
    assert used == {"sep1.depthwise5", "sep1.pointwise", "sep2.depthwise5", "sep2.pointwise"}
    pointwise = source.layout.weights["sep1.pointwise"].view(source.weight.grad)
    assert not pointwise[0].any() and pointwise[1].any()  # 3x3, 5x5


def test_statistics_are_the_average_over_the_batches():
    space = small_space(num_nodes=1)
    path = SinglePath(random_supernet(space, backend="torch"), with_path(space, (4, 4, 8)))
    batches = [torch.randn(2, 3, 32, 32, dtype=torch.float64) for _ in range(3)]
    modes = [module.training for module in path.eval().modules()]
    # What a network before left does not count, even where it is not finite: 0 x NaN is NaN.
    path.supernet.stem.conv1[1].running_mean.fill_(torch.nan)
    path.supernet.cells["layer0_stride4"].previous[0].statistics.mean.fill_(torch.inf)
    estimate_statistics(path, batches)
    assert [module.training for module in path.modules()] == modes
    first = path.supernet.stem.conv1[1]
    with torch.no_grad():
        maps = [path.supernet.stem.conv1[0](batch) for batch in batches]
    mean = torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0)
    var = torch.stack([m.var((0, 2, 3)) for m in maps]).mean(0)
    assert torch.allclose(first.running_mean, mean, rtol=0, atol=1e-12)
    assert torch.allclose(first.running_var, var, rtol=1e-12)
    # The same for a batch norm of the supernet's own kind: the first input cell's.
    bring = path.supernet.cells["layer0_stride4"].previous[0]
    with torch.no_grad():
        path.train()
        maps = [bring.conv(path.supernet.stem(batch)[1].relu()) for batch in batches]
    mean = torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0)
    assert torch.allclose(bring.statistics.mean, mean, rtol=0, atol=1e-12)
    # The shares of the batches are as before.
    assert first.momentum == 0.1
    statistics = [m for m in path.modules() if isinstance(m, RunningStatistics)]
    assert {m.momentum for m in statistics} == {0.1}


def test_an_architecture_of_another_space_is_refused():
    net = Supernet(SPACE, num_classes=3)
    other = with_path(small_space(num_layers=2), (4, 4))
    message = (
        "SinglePath: (strides, layers, nodes) of the architecture are ((4, 8, 16, 32), 2, 2), "
        "those of the supernet's space ((4, 8, 16, 32), 4, 3)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SinglePath(net, other)
    space = dataclasses.replace(SPACE, operations=("none", "skip_connect"))
    drawn = with_path(SearchSpace.from_dict(space.to_dict()), (4, 4, 4, 4))
    SinglePath(net, drawn)
    with pytest.raises(
        ValueError, match=r"operation '.*', but the supernet's space has none, skip"
    ):
        SinglePath(Supernet(space, num_classes=3), with_path(SPACE, (4, 4, 4, 4)))
