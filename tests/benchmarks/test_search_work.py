"""A search step's work, calls and memory, against counts by other means and by hand."""

import dataclasses
import sys
from types import ModuleType

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autoseg.supernet import reference
from tests.benchmarks.search_settings import small_setting, small_space

DENSE = ("none", "skip_connect", "atrous_conv_3x3", "max_pool_3x3", "atrous_conv_5x5")


def torch_supernet(bench, space):
    setting = small_setting(bench, space=space, num_classes=5)
    return bench.variants.build_supernet(setting, backend="torch")


def count_flops(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@pytest.mark.parametrize("operations", [small_space().operations, DENSE])
@pytest.mark.parametrize("crop", [37, 64])
def test_forward_work_is_that_of_the_reference(bench, monkeypatch, operations, crop):
    """Torch counts the FLOPs of the per-edge version, and its batch norms note their maps."""
    space = small_space(operations=operations, num_layers=4)
    net = torch_supernet(bench, space)
    num_elements = []
    batch_norm = reference.batch_norm

    def noting(maps, *arguments):
        num_elements.append(maps.numel())
        return batch_norm(maps, *arguments)

    monkeypatch.setattr(reference, "batch_norm", noting)
    images = torch.randn(2, 3, crop, crop)
    flops = count_flops(lambda: reference.reference_logits(net, images, training=True))
    work = bench.work.count_work(space, crop=crop, batch_size=2, num_classes=5, is_shared=False)
    assert work.forward_flops == flops
    assert work.num_elements == sum(num_elements)


def test_half_steps_are_priced_by_the_gradients_that_they_need(bench):
    # Full convolutions: torch's counter overprices the weights' gradient of depthwise ones.
    space = small_space(operations=DENSE, num_layers=4)
    net = torch_supernet(bench, space)
    images = torch.randn(2, 3, 64, 64)

    def half_step():
        reference.reference_logits(net, images, training=True).sum().backward()

    work = bench.work.count_work(space, crop=64, batch_size=2, num_classes=5, is_shared=False)
    assert work.weight_flops == count_flops(half_step)
    with net.only_gradients_of(net.arch_parameters()):
        assert work.arch_flops == count_flops(half_step)
    assert 2.5 * work.forward_flops < work.weight_flops < 3 * work.forward_flops
    assert 1.5 * work.forward_flops < work.arch_flops < 2 * work.forward_flops


def test_shared_work_counts_each_result_once(bench):
    """Against the convolutions of the batched supernet, where kernels of all sizes are full."""
    space = small_space(operations=DENSE, num_layers=4)
    net = torch_supernet(bench, space)
    with FlopCounterMode(display=False) as counter:
        net(torch.randn(2, 3, 64, 64))
    convolutions = counter.get_flop_counts()["Global"][torch.ops.aten.convolution]
    work = bench.work.count_work(space, crop=64, batch_size=2, num_classes=5)
    assert work.forward_flops == convolutions


def test_shared_work_by_hand(bench):
    # Layer 1 at stride 4 reads the stem as its previous-previous cell, for 2 input cells.
    space = small_space(num_layers=2, num_nodes=1, strides=(4, 8), filter_multiplier=3)
    sizes = {"crop": 32, "batch_size": 2, "num_classes": 5}
    shared = bench.work.count_work(space, **sizes)
    apart = bench.work.count_work(space, **sizes, is_shared=False)
    pixels = 2 * 8 * 8
    input_cell = 6 * 3
    depthwise = 2 * (9 + 25) * 3 + (9 + 25) * 3  # sep twice, dil once
    pointwise = 6 * 3**2
    assert apart.forward_flops - shared.forward_flops == 2 * pixels * (
        input_cell + depthwise + pointwise
    )
    # The same edge has 6 maps of convolutions and 2 of pools; the input cell has one.
    assert apart.num_elements - shared.num_elements == 3 * pixels * (6 + 2 + 1)


def test_the_floor_is_the_slower_of_compute_and_traffic(bench):
    work = bench.work.Work(forward_flops=0, weight_flops=6_000, arch_flops=4_000, num_elements=100)
    assert work.step_bytes(4) == 2 * 3 * 400
    by_compute = bench.work.Ceilings(gflop_per_s=1e-6, gb_per_s=1.0)
    assert by_compute.floor_ms(work, bytes_an_element=4) == pytest.approx(10_000)
    by_traffic = bench.work.Ceilings(gflop_per_s=1.0, gb_per_s=1e-6)
    assert by_traffic.floor_ms(work, bytes_an_element=2) == pytest.approx(1_200)


def test_ceilings_are_rates_of_the_work_asked_for(bench, monkeypatch):
    seconds = iter([2.0, 4.0])
    monkeypatch.setattr(bench.work, "_best_s", lambda function, device: next(seconds))
    ceilings = bench.work.measure_ceilings("cpu", torch.float32, matrix_side=500, copy_mib=1)
    assert ceilings.gflop_per_s == pytest.approx(2 * 500**3 / 2.0 / 1e9)
    assert ceilings.gb_per_s == pytest.approx(2 * 2**20 / 4.0 / 1e9)


def test_views_and_allocations_are_no_calls(bench):
    maps = torch.randn(2, 3)

    def function():
        maps.view(6).t().unsqueeze(0)  # 3 views
        torch.empty(4)
        (maps + 1).relu_().sum(dim=0).split(1)  # 3 calls, 1 view

    calls = bench.calls.count_calls(function)
    assert dataclasses.astuple(calls) == (3, 0, 5, None)  # None: kernels of a GPU


def test_calls_of_the_backward_pass_count(bench):
    maps = torch.randn(3, requires_grad=True)
    gradient = torch.ones(3)
    calls = bench.calls.count_calls(lambda: maps.relu().backward(gradient))
    assert calls.num_operator_calls == 2  # relu and its gradient


def test_fused_kernels_are_counted_apart(bench, monkeypatch):
    class Kernels:
        def pack(self): ...
        def unpack(self): ...
        def forward(self, maps):
            return maps + 1

        def backward(self): ...

    module = ModuleType("autoseg.supernet.made_up")
    Kernels.__module__ = module.__name__
    module.Kernels = Kernels
    monkeypatch.setitem(sys.modules, module.__name__, module)
    forward, kernels = Kernels.forward, Kernels()

    def function():
        assert kernels.forward(torch.ones(2)).tolist() == [2, 2]
        kernels.backward()

    calls = bench.calls.count_calls(function)
    assert calls.num_kernel_calls == 2
    assert calls.num_operator_calls == 2  # ones, +
    assert Kernels.forward is forward
