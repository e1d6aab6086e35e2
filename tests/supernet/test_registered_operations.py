"""Registered operations in the supernet: against built-in ones, and against the reference."""

import copy
import dataclasses
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.architecture import (
    OPERATIONS,
    Architecture,
    CellEdge,
    register_operation,
    sample_architecture,
)
from autoseg.errors import UsageError
from autoseg.networks import build_network
from autoseg.ops import build_operation
from autoseg.runs import Run
from autoseg.supernet import SinglePath
from autoseg.supernet.reference import reference_logits
from autoseg.supernet.source_op import SourceOp
from tests.strategies.test_search_loop import SPACE, new_run, run_search
from tests.supernet.test_single_path import supernet_logits
from tests.supernet.test_supernet import (
    BACK_ENDS,
    BOTH_FAMILIES,
    assert_same,
    gradients,
    random_supernet,
    small_space,
)
from tests.training.test_loop import Flag
from tests.triton_process import interpreting_process


@pytest.fixture(autouse=True)
def own_operations():
    """Register twins of two built-in operations, and others, for one test."""
    before = dict(OPERATIONS)
    for name in ("dil_conv_3x3", "max_pool_3x3"):
        register_operation(
            f"twin_{name}",
            lambda channels, stride, name=name: build_operation(name, channels, stride),
            description="a built-in operation by its own module",
        )
    register_operation("gated", Gated, description="a convolution times a gate, with a bias")
    register_operation("dropping", lambda channels, stride: nn.Dropout(0.5), description="dropout")
    yield
    OPERATIONS.clear()
    OPERATIONS.update(before)


class Gated(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, (1, 7), stride=stride, padding=(0, 3))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps):
        values, gate = self.conv(maps).chunk(2, dim=1)
        return self.norm(values * gate.sigmoid())


def small_images(*size, num_images=3):
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(num_images, 3, *size, dtype=torch.float64, generator=generator)
    return images, torch.randint(5, (num_images, *size), generator=generator)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("backend", BACK_ENDS)
def test_equals_the_per_edge_reference_among_built_in_ones(backend, training):
    space = small_space(operations=(*BOTH_FAMILIES[:3], "gated", *BOTH_FAMILIES[3:]))
    net = random_supernet(space, backend=backend).train(training)
    assert_same(net, *small_images(41, 51), tolerance=1e-8)


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("operations", [("gated",), ("none", "gated", "skip_connect")])
def test_equals_the_per_edge_reference_alone_and_for_a_single_image(backend, operations):
    net = random_supernet(small_space(operations=operations), backend=backend)
    assert_same(net, *small_images(49, 65, num_images=1), tolerance=1e-8)


def twin_supernets(backend):
    """A supernet, and the same with two operations replaced by registered twins."""
    space = small_space(operations=("none", "dil_conv_3x3", "sep_conv_3x3", "max_pool_3x3"))
    names = ("none", "twin_dil_conv_3x3", "sep_conv_3x3", "twin_max_pool_3x3")
    net = random_supernet(space, backend="torch")
    twin = random_supernet(dataclasses.replace(space, operations=names), backend=backend)
    state = {name: value for name, value in net.state_dict().items() if ".source" not in name}
    twin.load_state_dict(state, strict=False)
    with torch.no_grad():
        for name, cell in net.cells.items():
            other = twin.cells[name]
            copy_weights((cell.source0, *cell.sources), (other.source0, *other.sources))
    return net, twin


def copy_weights(sources, others):
    for source, other in zip(sources, others, strict=True):
        if source is None:
            continue
        blocks = source.layout.weights
        for name, block in other.layout.weights.items():
            block.view(other.weight).copy_(blocks[name].view(source.weight))
        depthwise = blocks["dil.depthwise3"].view(source.weight)
        pointwise = blocks["dil.pointwise"].view(source.weight)[0]
        for target, modules in enumerate(other.per_edge.modules_of[0]):
            for module in modules:
                module.module[1].weight.copy_(depthwise[target, :, None])
                module.module[2].weight.copy_(pointwise[target, :, :, None, None])


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_a_twin_of_a_built_in_operation_gives_what_it_gives(backend):
    net, twin = twin_supernets(backend)
    images, target = small_images(37, 45)
    logits, of_twin = net(images), twin(images)
    torch.testing.assert_close(of_twin, logits, rtol=1e-9, atol=1e-9)
    want, got = gradients(net, logits, target), gradients(twin, of_twin, target)
    for name in ("alpha", "beta", "stem.conv1.0.weight"):
        torch.testing.assert_close(got[name], want[name], rtol=1e-7, atol=1e-9)
    # A step later, in evaluation: the running statistics of each input cell are the same as well.
    torch.testing.assert_close(twin.eval()(images), net.eval()(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_recomputing_changes_nothing(backend):
    # Dropout among them: the second evaluation has to drop what the first one dropped.
    space = small_space(operations=("none", "gated", "sep_conv_3x3", "dropping"))
    net = random_supernet(space, backend=backend)
    again = copy.deepcopy(net)
    again.recompute_cells = True
    images, target = small_images(33, 40)
    results = []
    for each in (net, again):
        torch.manual_seed(3)
        results.append(gradients(each, each(images), target))
    for name, gradient in results[0].items():
        torch.testing.assert_close(results[1][name], gradient, rtol=1e-9, atol=1e-12)
    for (name, buffer), (_, other) in zip(net.named_buffers(), again.named_buffers(), strict=True):
        assert torch.equal(buffer, other), name


def test_input_cells_share_weights_and_not_statistics():
    net = random_supernet(small_space(operations=("none", "gated")), backend="torch")
    source = net.cells["layer2_stride8"].sources[0]
    first, second, *_ = (each.module for each in source.per_edge.modules_of[0][0])
    assert first.conv.weight is second.conv.weight
    assert first.norm.running_mean is not second.norm.running_mean
    names = [name for name, _ in net.named_parameters() if "per_edge" in name]
    # One kernel and one bias an edge, no scale and no shift, as for all other operations.
    sources = [m for m in net.modules() if hasattr(m, "per_edge")]
    num_edges = sum(each.layout.num_targets for each in sources)
    assert len(names) == 2 * num_edges
    assert all(".conv." in name for name in names)
    assert {id(p) for p in net.weight_parameters()} >= {id(first.conv.weight)}


def test_a_single_path_is_the_one_hot_supernet():
    space = small_space(operations=("none", "gated", "sep_conv_3x3"))
    net = random_supernet(space, backend="torch")
    architecture = sample_architecture(space, torch.Generator().manual_seed(1))
    assert "gated" in str(architecture)
    images, _ = small_images(33, 40)
    logits = SinglePath(net, architecture)(images)
    torch.testing.assert_close(logits, supernet_logits(net, architecture, images))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda channels, stride: nn.Conv2d(channels, 1, 1),
            r"'wrong' at stride 1 maps \(3, 2, 9, 10\) to \(3, 1, 9, 10\), but it must give "
            r"\(3, 2, 9, 10\)",
        ),
        (lambda channels, stride: nn.ReLU(inplace=True), "'wrong' changes its input in place"),
        (lambda channels, stride: F.relu, "'wrong': its builder returned a function for 2 chan"),
    ],
)
def test_what_breaks_the_rules_of_an_operation_is_refused(build, message):
    register_operation("wrong", build, description="breaks a rule")
    with pytest.raises(UsageError, match=message):
        net = random_supernet(small_space(operations=("none", "wrong")), backend="torch")
        net(small_images(33, 40)[0])


def test_the_reference_leaves_running_statistics_alone():
    net = random_supernet(small_space(operations=("none", "gated")), backend="torch")
    before = copy.deepcopy(net.state_dict())
    reference_logits(net, small_images(33, 40)[0], training=True)
    after = net.state_dict()
    # Stem and heads are the network's own modules, in training mode.
    assert all(torch.equal(after[name], before[name]) for name in after if "cells." in name)


def test_a_search_goes_on_where_it_stopped_bit_for_bit(tmp_path):
    space = dataclasses.replace(SPACE, operations=("none", "gated", "dropping", "sep_conv_3x3"))
    with new_run(tmp_path / "whole") as run:
        net, expected = run_search(run, space=space)
    with new_run(tmp_path / "stopped") as run:
        run_search(run, space=space, stop=Flag(3))
    with Run.resume(tmp_path / "stopped") as run:
        again, result = run_search(run, space=space)
    assert result == expected
    state = again.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def through_plain_operators_and_triton():
    """Evaluate a source operation both ways; return values and gradients of each."""
    from autoseg.supernet.triton_kernels import TritonSourceKernels

    register_operation("gated", Gated, description="a convolution times a gate, with a bias")
    torch.manual_seed(0)
    operations = ("none", "gated", "skip_connect", "dil_conv_3x3")
    source = SourceOp(3, num_targets=2, num_inputs=2, operations=operations).double()
    state = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    alpha = torch.rand(2, 4, dtype=torch.float64, requires_grad=True)
    results = []
    for kernels in (None, TritonSourceKernels(block_elements=512, num_programs=1)):
        out = source(state, alpha, kernels)
        wanted = (state, alpha, *source.parameters())
        gradients = torch.autograd.grad(out.sin().sum(), wanted)
        results.append([each.detach().numpy() for each in (out, *gradients)])
    return results


@pytest.mark.nightly  # 4 s
@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_stands_beside_tritons_kernels():
    with interpreting_process() as process:
        plain, triton = process.submit(through_plain_operators_and_triton).result()
    for got, want in zip(triton, plain, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10)


def test_a_derived_network_leaves_it_as_its_author_built_it():
    architecture = Architecture(
        space="mine",
        strides=(4, 8),
        path=(4, 8),
        cell=((CellEdge(0, "gated"), CellEdge(1, "gated")),),
    )
    network = build_network(architecture, num_classes=5, filter_multiplier=4, width=0.125)
    parts = [module for module in network.modules() if isinstance(module, Gated)]
    assert [part.conv.stride for part in parts] == [(1, 1), (1, 1), (2, 2), (2, 2)]
    for part in parts:
        bound = (7 * part.conv.in_channels) ** -0.5  # torch's own rule; autoseg's has no bound
        assert 0.5 * bound < part.conv.weight.abs().max() <= bound
        assert part.conv.bias.abs().max() > 0
        assert part.norm.affine  # as all norms of a derived network
    assert network(torch.randn(2, 3, 33, 40)).shape == (2, 5, 33, 40)
