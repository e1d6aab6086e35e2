"""Gradients of gradients: right with plain operators, refused by hand-written backward passes."""

import pytest
import torch
import torch.nn.functional as F

from autoseg._native import core
from autoseg.supernet.reference import reference_logits
from tests.supernet.test_supernet import random_supernet, small_space


def scene():
    torch.manual_seed(1)
    return torch.randn(1, 3, 33, 65).double(), torch.randint(0, 5, (1, 33, 65))


def slopes_of(net, logits, target):
    parameters = [*net.arch_parameters(), *net.weight_parameters()]
    loss = F.cross_entropy(logits, target)
    return parameters, torch.autograd.grad(loss, parameters, create_graph=True)


def hessian_product(net, logits, target):
    """Multiply the Hessian over all parameters by a fixed vector, by autograd."""
    parameters, slopes = slopes_of(net, logits, target)
    generator = torch.Generator().manual_seed(2)
    parts = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    total = sum((slope * part).sum() for slope, part in zip(slopes, parts, strict=True))
    return torch.autograd.grad(total, parameters, allow_unused=True)


@pytest.mark.parametrize("recompute_cells", [False, True])
def test_plain_operators_are_differentiated_twice(recompute_cells):
    net = random_supernet(small_space(), backend="torch", recompute_cells=recompute_cells)
    images, target = scene()
    products = hessian_product(net, net(images), target)
    expected = hessian_product(net, reference_logits(net, images, training=True), target)
    assert sum(e is not None for e in expected) > 10
    scale = max(e.abs().max() for e in expected if e is not None)
    for product, e in zip(products, expected, strict=True):
        assert (product is None) == (e is None)
        if e is not None:
            assert (product - e).abs().max() <= 1e-11 * scale


@pytest.mark.skipif(core() is None, reason="the compiled kernels are missing")
def test_compiled_kernels_refuse_and_name_what_to_use():
    # By `grad`, which torch's own mark of such a function does not reach.
    net = random_supernet(small_space(), backend="fused")
    images, target = scene()
    message = r"^FusedCell: its gradient cannot be differentiated again.* backend=\"torch\"\.$"
    with pytest.raises(RuntimeError, match=message):
        slopes_of(net, net(images), target)
