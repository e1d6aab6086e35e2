"""Every back end, precision, half-step and space against the same supernet in float64.

What is kept in which precision: docs/precision.md.
"""

import copy

import pytest
import torch
import torch.nn.functional as F

from autoseg.architecture import SearchSpace
from autoseg.supernet import Supernet
from autoseg.training.precision import autocast
from tests.supernet.test_supernet import BACK_ENDS, small_space

CPU = torch.device("cpu")
NUM_CLASSES = 3

# Relative to the norm. fp32: 2**-24 a rounding, some hundred of them, grown by batch norm. bf16:
# 2**-8 likewise; its gradients differ by far more, by plain operators too, because an activation
# near 0 and a maximum near another flip. A gradient that has nothing to do with the right one has
# 1.4.
LOGITS = {"fp32": 1e-5, "bf16": 0.05}
GRADIENT = {"fp32": 2e-4, "bf16": 0.8}


def space(name):
    return small_space(
        operations=SearchSpace.load(name).operations,
        num_layers=2,
        strides=(4, 8),
        filter_multiplier=4,
        stem_channels=(4, 4, 8),
    )


def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 64, 48, generator=generator)
    return images, torch.randint(NUM_CLASSES, (2, 64, 48), generator=generator)


def half_step(net, half, precision):
    """Return the logits, and the gradients of one group of parameters."""
    images, target = batch()
    parameters = net.weight_parameters() if half == "weights" else net.arch_parameters()
    with net.only_gradients_of(parameters):
        with autocast(precision, CPU):
            logits = net(images.to(parameters[0].dtype))
        F.cross_entropy(logits.to(parameters[0].dtype), target).backward()
    return logits.detach(), [parameter.grad for parameter in parameters]


def relative(got, expected):
    difference = torch.cat([(a.double() - b).flatten() for a, b in zip(got, expected, strict=True)])
    return (difference.norm() / torch.cat([b.flatten() for b in expected]).norm()).item()


@pytest.mark.parametrize("name", ["autodeeplab", "autodeeplab_depthwise"])
@pytest.mark.parametrize("backend", BACK_ENDS)
def test_half_steps_are_float64s_to_rounding(backend, name):
    torch.manual_seed(0)
    net = Supernet(space(name), num_classes=NUM_CLASSES, backend=backend)
    with torch.no_grad():
        net.alpha.normal_()
        net.beta.normal_()
    for half in ("weights", "architecture"):
        exact = copy.deepcopy(net).double()
        exact.backend = "torch"
        logits, gradients = half_step(exact, half, "fp32")
        for precision, recompute in (("fp32", False), ("bf16", False), ("bf16", True)):
            which = (half, precision, recompute)
            rounded = copy.deepcopy(net)
            rounded.recompute_cells = recompute
            found, own = half_step(rounded, half, precision)
            assert {gradient.dtype for gradient in own} == {torch.float32}
            assert relative([found], [logits]) < LOGITS[precision], which
            assert relative(own, gradients) < GRADIENT[precision], which
            for buffer, expected in zip(rounded.buffers(), exact.buffers(), strict=True):
                assert buffer.dtype in (torch.float32, torch.int64)  # statistics, counters
                if buffer.is_floating_point():
                    error = (buffer.double() - expected).abs().max()
                    assert error < LOGITS[precision] * expected.abs().max().clamp_min(1)


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
