"""Batch norm of maps whose strides torch takes for two things at once."""

import pytest
import torch

from autoseg._native import core
from autoseg.supernet import Supernet
from autoseg.supernet import supernet as supernet_module
from autoseg.supernet.batch_norm import batch_norm
from tests.batch_norm_watch import BatchNormWatch, in_plain_order
from tests.supernet.test_supernet import small_space

ORDERS = {
    "plain": (0, 1, 2, 3),
    "channels last": (0, 2, 3, 1),
    "batch last": (2, 3, 1, 0),
    "rows last": (0, 3, 1, 2),
    "columns last": (0, 2, 1, 3),
}


def ordered(maps, order):
    """Copy (N, C, H, W) to memory in which the dimensions follow each other as named."""
    places = ORDERS[order]
    inverse = [places.index(dim) for dim in range(4)]
    return maps.permute(places).contiguous().permute(inverse)


def gradient_by_the_formula(maps, grad):
    """Differentiate (x - mean) / sqrt(var + eps) by autograd, operator by operator."""
    maps = maps.clone().requires_grad_()
    mean = maps.mean((0, 2, 3), keepdim=True)
    var = (maps - mean).square().mean((0, 2, 3), keepdim=True)
    ((maps - mean) / (var + 1e-5).sqrt()).backward(grad)
    return maps.grad


@pytest.mark.parametrize(
    "shape", [(1, 4, 7, 9), (2, 4, 7, 9), (2, 3, 1, 5), (2, 3, 4, 1), (3, 1, 4, 5)]
)
@pytest.mark.parametrize("grad_order", ORDERS)
@pytest.mark.parametrize("order", ORDERS)
def test_gradients_do_not_depend_on_strides(order, grad_order, shape):
    torch.manual_seed(0)
    maps, grad = torch.randn(2, *shape, dtype=torch.float64)
    given = ordered(maps, order).requires_grad_()
    mean = torch.zeros(shape[1], dtype=torch.float64)
    var = torch.ones(shape[1], dtype=torch.float64)
    normalised = batch_norm(given, mean, var, training=True, momentum=0.1)
    normalised.backward(ordered(grad, grad_order))
    # float64; sums over up to 126 pixels in another order.
    torch.testing.assert_close(
        given.grad, gradient_by_the_formula(maps, grad), rtol=1e-9, atol=1e-9
    )


def back_ends():
    from autoseg.supernet.native import NativeSourceKernels

    isas = core().present_isas() if core() is not None else ()
    return {"torch": None, **{isa: NativeSourceKernels(isa) for isa in isas}}


@pytest.mark.parametrize("kernels", back_ends().values(), ids=back_ends().keys())
@pytest.mark.parametrize("filter_multiplier", [3, 4, 8, 16])
def test_no_gradient_in_a_supernet_depends_on_strides(kernels, filter_multiplier, monkeypatch):
    # Widths below, at and above the lanes of a vector: packed maps unfold to other strides.
    monkeypatch.setattr(supernet_module, "source_kernels", lambda *_: kernels)
    torch.manual_seed(0)
    space = small_space(filter_multiplier=filter_multiplier, stem_channels=(4, 4, 8))
    net = Supernet(space, num_classes=3).double()
    with BatchNormWatch() as watch:
        logits = net(torch.randn(1, 3, 33, 65, dtype=torch.float64))
        logits.backward(torch.randn_like(logits))
    assert len(watch.errors) > 10
    assert max(watch.errors) < 1e-9


def test_the_watch_sees_the_fault():
    """torch's own batch norm errs on the strides that `autoseg.supernet.batch_norm` mends.

    Should this fail, torch has mended it: the mending here can go then.
    """
    torch.manual_seed(0)
    maps, grad = torch.randn(2, 1, 4, 7, 9, dtype=torch.float64)
    odd = torch.empty(9 * 7 * 4, dtype=torch.float64).as_strided((1, 4, 7, 9), (4, 1, 36, 4))
    odd.copy_(grad)
    given = in_plain_order(maps).requires_grad_()
    with BatchNormWatch() as watch:
        torch.nn.functional.batch_norm(given, None, None, training=True).backward(odd)
    assert max(watch.errors) > 0.1
