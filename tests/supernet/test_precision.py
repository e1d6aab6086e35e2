"""Every back end, precision, half-step and space against the same supernet in float64.

What is kept in which precision: docs/precision.md.
"""

import copy
import dataclasses
import math
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from autoseg.architecture import SearchSpace
from autoseg.supernet import CellSupernet, Supernet
from autoseg.supernet.depthwise import depthwise_conv2d
from autoseg.training.precision import autocast
from tests.architecture.cells import SMALL
from tests.supernet.test_supernet import BACK_ENDS, small_space

CPU = torch.device("cpu")
NUM_CLASSES = 3

# Relative to the norm. A rounding to fp32 moves a value by up to 2**-24 of it, to bf16 (8 bits) by
# up to 2**-8, 0.002 in the mean square; some forty in a row, of either sign, make 0.013 in bf16.
LOGITS = {"fp32": 1e-5, "bf16": 0.025}
GRADIENT_FP32 = 2e-4

# In bf16 gradients differ by more than logits, because ReLUs flip. With an input of relative error
# e, a ReLU of normal values opens or closes wrongly with probability e / pi; half of all are open,
# so that a gradient's square that passes one changes by the share 2 e / pi, and after n of them by
# n times that. Longest chains here: 2 ReLUs in a head, 5 in a cell of 2 nodes (input, and two in a
# separable convolution of each node), 3 in the stem.
NUM_RELUS = {"heads": 2, "cells": 2 + 2 * 5, "stem": 2 + 2 * 5 + 3, "architecture": 2 + 2 * 5}
# Flips have either sign: the part of the error that lies along the gradient itself is far smaller.
# A summand that is forgotten or counted twice is not: it shows here.
ALONG = 0.1

# Networks that rounding moves least, of eight drawn for each space: where batch norm divides by a
# small deviation (a map of stride 8 has 96 values), 8 bits move gradients by more than their norm.
SEEDS = {"autodeeplab": 2, "autodeeplab_depthwise": 7, "autodeeplab by parts": 7, "cells": 8}


def space(name):
    return small_space(
        operations=SearchSpace.load(name.removesuffix(" by parts")).operations,
        num_layers=2,
        strides=(4, 8),
        filter_multiplier=4,
        stem_channels=(4, 4, 8),
    )


def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 64, 48, generator=generator)
    return images, torch.randint(NUM_CLASSES, (2, 64, 48), generator=generator)


def random_net(name, backend):
    torch.manual_seed(SEEDS[name])
    # By parts, the cells are evaluated state by state, by fused kernels as well.
    parts = {"partial_channels": 2, "edge_normalisation": True} if "parts" in name else {}
    net = Supernet(space(name), num_classes=NUM_CLASSES, backend=backend, **parts)
    with torch.no_grad():
        for logits in net.arch_parameters():
            logits.normal_()
    return net


def half_step(net, half, precision, rounding=None):
    """Return the logits, and by name the gradients of one half's parameters."""
    images, target = batch()
    parameters = net.weight_parameters() if half == "weights" else net.arch_parameters()
    with net.only_gradients_of(parameters):
        with autocast(precision, CPU), rounding or nullcontext():
            logits = net(images.to(parameters[0].dtype))
        F.cross_entropy(logits.to(parameters[0].dtype), target).backward()
    wanted = {id(parameter) for parameter in parameters}
    named = net.named_parameters()
    return logits.detach(), {name: p.grad for name, p in named if id(p) in wanted}


def relative(got, expected):
    difference = torch.cat([(a.double() - b).flatten() for a, b in zip(got, expected, strict=True)])
    return (difference.norm() / torch.cat([b.flatten() for b in expected]).norm()).item()


def by_group(gradients):
    """Sort gradients into the parts of the network."""
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, gradient in gradients.items():
        part = name.split(".")[0]
        groups.setdefault(part if part in NUM_RELUS else "architecture", {})[name] = gradient
    return groups


def of_tolerance(found, expected, own, right) -> Iterator[tuple[str, float]]:
    """Give each part's gradient error, as a share of what flips explain."""
    error = relative([found], [expected])
    right = by_group(right)
    for part, gradients in by_group(own).items():
        tolerance = math.sqrt(NUM_RELUS[part] * 2 * error / math.pi)
        yield part, relative(gradients.values(), right[part].values()) / tolerance


class RandomRounding(TorchFunctionMode):
    """Round what enters and leaves each convolution to 8 bits, up or down at random.

    Its mean square is twice that of rounding to the nearest.
    """

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values, generator):
            ctx.generator = generator
            fraction, exponent = torch.frexp(values)
            noise = torch.rand(values.shape, generator=generator, dtype=values.dtype)
            return torch.ldexp(torch.floor(fraction * 2**8 + noise) / 2**8, exponent)

        @staticmethod
        def backward(ctx, *gradients):
            return RandomRounding.Rounded.forward(ctx, *gradients, ctx.generator), None

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not F.conv2d:
            return func(*args, **(kwargs or {}))
        images, weight, *rest = args
        images, weight = (self.Rounded.apply(each, self.generator) for each in (images, weight))
        return self.Rounded.apply(func(images, weight, *rest, **(kwargs or {})), self.generator)


@pytest.mark.parametrize("name", ["autodeeplab", "autodeeplab_depthwise", "autodeeplab by parts"])
@pytest.mark.parametrize("backend", BACK_ENDS)
def test_half_steps_are_float64s_to_rounding(backend, name):
    net = random_net(name, backend)
    for half in ("weights", "architecture"):
        exact = copy.deepcopy(net).double()
        exact.backend = "torch"
        logits, gradients = half_step(exact, half, "fp32")
        for precision, recompute in (("fp32", False), ("bf16", False), ("bf16", True)):
            which = (half, precision, recompute)
            rounded = copy.deepcopy(net)
            rounded.recompute_cells = recompute
            found, own = half_step(rounded, half, precision)
            assert {gradient.dtype for gradient in own.values()} == {torch.float32}
            assert relative([found], [logits]) < LOGITS[precision], which
            if precision == "fp32":
                assert relative(own.values(), gradients.values()) < GRADIENT_FP32, which
            else:
                for part, share in of_tolerance(found, logits, own, gradients):
                    assert share < 1, (*which, part)
                require_right_size(own, gradients, which)
            for buffer, expected in zip(rounded.buffers(), exact.buffers(), strict=True):
                assert buffer.dtype in (torch.float32, torch.int64)  # statistics, counters
                if buffer.is_floating_point():
                    error = (buffer.double() - expected).abs().max()
                    assert error < LOGITS[precision] * expected.abs().max().clamp_min(1)


def require_right_size(own, right, which, *, tensors=True):
    """Hold each part, and each tensor of a cell, to its size along the right gradient."""
    groups, right_groups = by_group(own), by_group(right)
    parts = [(part, groups[part].values(), right_groups[part].values()) for part in groups]
    if tensors:
        parts += [(name, [own[name]], [right[name]]) for name in own if name.startswith("cells.")]
    for part, got, expected in parts:
        a, b = (torch.cat([each.double().flatten() for each in x]) for x in (got, expected))
        assert abs((a @ b / (b @ b)).item() - 1) < ALONG, (*which, part)


@pytest.mark.parametrize("name", ["autodeeplab", "autodeeplab_depthwise"])
def test_the_tolerances_of_bf16_are_what_8_bits_explain(name):
    """Random rounding moves float64's gradients by as much: not beyond them, nor far below."""
    net = random_net(name, "torch").double()
    for half in ("weights", "architecture"):
        right = half_step(copy.deepcopy(net), half, "fp32")
        rounded = half_step(copy.deepcopy(net), half, "fp32", RandomRounding(seed=1))
        for part, share in of_tolerance(rounded[0], right[0], rounded[1], right[1]):
            assert 0.1 < share < 1, part


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_what_leaves_a_cell_is_of_alphas_precision(backend):
    torch.manual_seed(0)
    net = Supernet(space("autodeeplab"), num_classes=NUM_CLASSES, backend=backend)
    seen = []
    for cell in net.cells.values():
        cell.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    with autocast("bf16", CPU):
        logits = net(batch()[0])
    assert logits.dtype == torch.bfloat16
    assert set(seen) <= {torch.float32, torch.bfloat16}
    if backend == "fused":
        assert set(seen) == {torch.float32}


def test_half_steps_of_a_cell_space_are_float64s_to_rounding():
    """Plain operators evaluate it; no other back end does."""
    names = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")
    operations = (names,) * SMALL.num_edges
    torch.manual_seed(SEEDS["cells"])
    net = CellSupernet(
        dataclasses.replace(SMALL, normal_operations=operations, reduction_operations=operations),
        num_classes=NUM_CLASSES,
    )
    with torch.no_grad():
        for logits in net.arch_parameters():
            logits.normal_()
    for half in ("weights", "architecture"):
        exact = half_step(copy.deepcopy(net).double(), half, "fp32")
        found, own = half_step(copy.deepcopy(net), half, "fp32")
        assert relative([found], [exact[0]]) < LOGITS["fp32"]
        assert relative(own.values(), exact[1].values()) < GRADIENT_FP32
        found, own = half_step(copy.deepcopy(net), half, "bf16")
        assert {gradient.dtype for gradient in own.values()} == {torch.float32}
        # Three cells in a row round more often than the two above: by how much, 8 bits tell.
        rounded, _ = half_step(copy.deepcopy(net).double(), half, "fp32", RandomRounding(seed=1))
        assert 1e-3 < relative([found], [exact[0]]) < relative([rounded], [exact[0]])
        # Tensors are as small as 16 numbers here, of which a few may belong to ReLUs that flip.
        require_right_size(own, exact[1], (half,), tensors=False)


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_the_depthwise_gradients_are_those_of_plain_autocast(wanted):
    """Its backward pass is written by hand: under autocast it knows what its forward kept."""
    generator = torch.Generator().manual_seed(2)
    maps, weight = (torch.randn(s, generator=generator) for s in ((2, 6, 9, 7), (6, 1, 3, 3)))
    options = {"padding": 2, "dilation": 2, "groups": 6}
    found = []
    for convolve in (depthwise_conv2d, F.conv2d):
        inputs = [
            t.clone().requires_grad_(is_wanted)
            for t, is_wanted in zip((maps, weight), wanted, strict=True)
        ]
        with autocast("bf16", CPU):
            output = convolve(*inputs, **options)
        assert output.dtype == torch.bfloat16
        output.backward(torch.ones_like(output))
        found.append([output, *(each.grad for each in inputs if each.requires_grad)])
    for own, plain in zip(*found, strict=True):
        assert own.dtype == plain.dtype
        # Each product of a sum is rounded to 8 bits; they may be added in another order.
        assert relative([own], [plain.double()]) < 2**-8
