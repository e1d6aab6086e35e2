"""The compiled source operation against plain operators, for every instruction set."""

from types import SimpleNamespace

import pytest
import torch

from autoseg._native import core
from autoseg.architecture import FAMILIES, operations_of
from autoseg.supernet.source_layout import SourceLayout
from tests.supernet.source_reference import random_source, reference_source, updated_statistics

if core() is None:
    pytest.skip("the compiled kernels are missing", allow_module_level=True)

from autoseg.supernet.native import NativeSourceKernels, operation_names

BOTH_FAMILIES = (
    "none",
    "sep_conv_5x5",
    "skip_connect",
    "dil_conv_3x3",
    "max_pool_3x3",
    "atrous_conv_5x5",
    "sep_conv_3x3",
    "dil_conv_5x5",
    "avg_pool_3x3",
    "atrous_conv_3x3",
)
MOMENTUM = 0.1

# Float64 rounding; batch norm over 9 values of a map divides by small deviations and grows it to
# 1e-13. Float32 has 2 ** 29 times coarser rounding.
TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-4}


def relative(got, expected):
    if expected.numel() == 0:
        return float(got.numel())
    return ((got.double() - expected).abs().max() / expected.abs().max()).item()


def pack_targets(kernels, maps):
    """(N, K, T, C, H, W) -> packed (T, K, ...)."""
    return torch.stack([kernels.pack(maps[:, :, t]) for t in range(maps.shape[2])])


def check(isa, layout, size, *, dtype, training, keep, wants=("weight", "alpha")):
    kernels = NativeSourceKernels(isa)
    tolerance = TOLERANCE[dtype]
    num_images, height, width = size
    weight, statistics, state, alpha = random_source(layout, size, seed=0)
    weight, state, alpha = (tensor.requires_grad_() for tensor in (weight, state, alpha))
    expected = reference_source(layout, weight, statistics, state, alpha, training=training)
    gradient = torch.randn_like(expected.contributions)
    before = torch.randn_like(expected.contributions)  # what other sources sent already
    (expected.contributions * gradient).sum().backward()

    def cast(tensor):
        return tensor.detach().to(dtype).clone()

    settings = {"size": (num_images, layout.channels, height, width), "training": training}
    packed = kernels.pack(cast(state))
    # Packing loses nothing, and fills vectors with zeros.
    assert torch.equal(kernels.unpack(packed, num_images, layout.channels), cast(state))
    assert packed.count_nonzero() == cast(state).count_nonzero()
    out = pack_targets(kernels, cast(before))
    running = cast(statistics[0]), cast(statistics[1])
    saved = kernels.forward(
        layout,
        cast(weight),
        running,
        packed,
        cast(alpha),
        out,
        momentum=MOMENTUM,
        keep=keep,
        **settings,
    )
    got = torch.stack(
        [kernels.unpack(target, num_images, layout.channels) for target in out], dim=2
    )
    assert relative(got, expected.contributions.detach() + before) < tolerance
    wanted = statistics
    if training and layout.features:
        wanted = updated_statistics(
            statistics, expected, num_samples=num_images * height * width, momentum=MOMENTUM
        )
    for running_statistic, statistic in zip(running, wanted, strict=True):
        assert relative(running_statistic, statistic) < tolerance

    start = torch.randn_like(state.detach())  # gradients that came from elsewhere
    grad_state = kernels.pack(cast(start))
    grad_weight = torch.full_like(cast(weight), torch.nan) if "weight" in wants else None
    grad_alpha = torch.full_like(cast(alpha), torch.nan) if "alpha" in wants else None
    kernels.backward(
        layout,
        cast(weight),
        packed,
        cast(alpha),
        saved,
        pack_targets(kernels, cast(gradient)),
        grad_state,
        grad_weight=grad_weight,
        grad_alpha=grad_alpha,
        **settings,
    )
    got = kernels.unpack(grad_state, num_images, layout.channels)
    assert relative(got, state.grad + start) < tolerance
    assert grad_state.count_nonzero() <= got.numel()  # nothing leaks into lanes without an image
    if grad_weight is not None and grad_weight.numel():
        assert relative(grad_weight, weight.grad) < tolerance
    if grad_alpha is not None:
        assert relative(grad_alpha, alpha.grad) < tolerance


def layout_of(channels, *, inputs=2, targets=2, operations=BOTH_FAMILIES):
    return SourceLayout(operations, channels, num_targets=targets, num_inputs=inputs)


# Channels below, at and above the lanes of every instruction set, powers of two and not; batches
# that fill vectors and not; maps narrower and wider than a tile, and one of a single row.
SIZES = [
    (2, (3, 5, 7), 1, 3),
    (3, (2, 1, 6), 1, 2),
    (4, (3, 9, 11), 2, 1),
    (5, (3, 3, 2), 2, 2),
    (8, (2, 17, 9), 2, 2),
    (16, (2, 6, 4), 3, 1),
    (20, (1, 8, 9), 2, 2),
    (48, (1, 3, 3), 1, 2),
    (64, (1, 5, 9), 1, 1),
]


@pytest.mark.parametrize("isa", core().present_isas())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("channels", "size", "inputs", "targets"), SIZES)
def test_equals_plain_operators(isa, dtype, channels, size, inputs, targets):
    layout = layout_of(channels, inputs=inputs, targets=targets)
    check(isa, layout, size, dtype=dtype, training=True, keep=True)


@pytest.mark.parametrize("isa", core().present_isas())
@pytest.mark.parametrize("channels", [4, 20])
@pytest.mark.parametrize(("training", "keep"), [(True, False), (False, True), (False, False)])
def test_equals_plain_operators_without_kept_maps_and_in_evaluation(isa, channels, training, keep):
    layout = layout_of(channels)
    check(isa, layout, (3, 6, 9), dtype=torch.float64, training=training, keep=keep)


@pytest.mark.parametrize(
    "operations",
    [
        ("none", "avg_pool_3x3"),
        ("max_pool_3x3",),
        ("none", "skip_connect"),
        ("sep_conv_3x3", "none"),
        ("skip_connect", "dil_conv_5x5"),
        ("atrous_conv_3x3", "sep_conv_5x5", "none"),
    ],
)
def test_equals_plain_operators_for_a_subset_of_operations(operations):
    layout = layout_of(8, operations=operations)
    check("", layout, (2, 5, 6), dtype=torch.float64, training=True, keep=True)


@pytest.mark.parametrize("wants", [("weight",), ("alpha",), ()])
def test_gradients_that_are_not_wanted_are_left_out(wants):
    check("", layout_of(8), (2, 5, 6), dtype=torch.float64, training=True, keep=True, wants=wants)


def test_max_pooling_sends_a_tie_to_the_first_maximum():
    layout = layout_of(4, inputs=1, targets=1, operations=("max_pool_3x3",))
    kernels = NativeSourceKernels()
    state = torch.randint(0, 2, (2, 1, 4, 6, 5), dtype=torch.float64).requires_grad_()  # many ties
    weight, alpha = torch.empty(0, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    statistics = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    expected = reference_source(layout, weight, statistics, state, alpha, training=True)
    gradient = torch.randn_like(expected.contributions)
    expected.contributions.backward(gradient)
    packed, out = kernels.pack(state.detach()), pack_targets(kernels, torch.zeros_like(gradient))
    settings = {"size": (2, 4, 6, 5), "training": True}
    saved = kernels.forward(
        layout, weight, statistics, packed, alpha, out, momentum=0.0, keep=True, **settings
    )
    grad_state = torch.zeros_like(packed)
    kernels.backward(
        layout,
        weight,
        packed,
        alpha,
        saved,
        pack_targets(kernels, gradient),
        grad_state,
        grad_weight=None,
        grad_alpha=None,
        **settings,
    )
    got = kernels.unpack(grad_state, 2, 4)
    torch.testing.assert_close(got, state.grad, rtol=1e-12, atol=1e-13)


def test_results_do_not_depend_on_the_number_of_threads():
    layout, size = layout_of(16), (2, 7, 9)
    weight, statistics, state, alpha = random_source(layout, size, seed=0, dtype=torch.float32)
    kernels, settings = NativeSourceKernels(), {"size": (2, 16, 7, 9), "training": True}
    packed, before = kernels.pack(state), torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            out = packed.new_zeros(2, *packed.shape)
            saved = kernels.forward(
                layout, weight, statistics, packed, alpha, out, momentum=0.0, keep=True, **settings
            )
            gradients = torch.zeros_like(packed), torch.empty_like(weight), torch.empty_like(alpha)
            kernels.backward(
                layout,
                weight,
                packed,
                alpha,
                saved,
                out,
                gradients[0],
                grad_weight=gradients[1],
                grad_alpha=gradients[2],
                **settings,
            )
            results.append((out, *gradients))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_a_tensor_of_another_dtype_is_refused():
    layout, size = layout_of(4), (2, 3, 3)
    weight, statistics, state, alpha = random_source(layout, size, seed=0, dtype=torch.float32)
    kernels = NativeSourceKernels()
    packed = kernels.pack(state)
    out = packed.new_zeros(2, *packed.shape)
    with pytest.raises(ValueError, match=r"a tensor is torch\.float64 on cpu; the state is torch"):
        kernels.forward(
            layout,
            weight.double(),
            statistics,
            packed,
            alpha,
            out,
            size=(2, 4, 3, 3),
            training=True,
            momentum=0.0,
            keep=True,
        )


def test_the_kernels_and_the_table_know_the_same_operations():
    names = operation_names(core())
    assert sorted(names) == sorted(
        each.name for family in FAMILIES for each in operations_of(family)
    )
    # A build in another order is used in its order; one with other operations is refused.
    entries = core().operations
    other = SimpleNamespace(operations=list(reversed(entries)))
    assert operation_names(other) == tuple(reversed(names))
    other = SimpleNamespace(operations=[("sep_conv_3x3", 3, 2), *entries[1:]])
    with pytest.raises(
        RuntimeError, match=r"differ in .*\('sep_conv_3x3', 3, 2\).* Install autoseg"
    ):
        operation_names(other)
