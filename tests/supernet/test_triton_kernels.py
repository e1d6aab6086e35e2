"""The Triton source operation against plain torch operators and autograd.

Where there is a CUDA device the kernels run on it. Elsewhere triton's interpreter runs them on
the CPU. It must be chosen, by TRITON_INTERPRET=1, before triton is imported for the first time,
which another test may have done already, and it must not be chosen for other tests: so it has a
process of its own. What the interpreter does not see is in `test_triton_compilation.py`.
"""

import importlib.util
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.fresh_process import printed_by
from tests.supernet.bf16_cell import run_cell_on_bf16_maps
from tests.supernet.triton_source import (
    ATROUS,
    SEPARABLE,
    Case,
    reference,
    run_kernels,
)
from tests.triton_process import interpreting_process

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
HAS_CUDA = torch.cuda.is_available()

# float64: sums of a few hundred terms, each rounded at 1e-16, divided by deviations near 1.
EXACT = 1e-12

# float32: likewise at 6e-8.
SINGLE = 1e-5


@pytest.fixture(scope="module")
def run_function():
    """Run a function on the device that there is, whose name is its last argument."""
    if HAS_CUDA:
        yield lambda function, *arguments: function(*arguments, "cuda")
        return
    with interpreting_process() as process:
        yield lambda function, *arguments: process.submit(function, *arguments, "cpu").result()


@pytest.fixture(scope="module")
def run(run_function):
    """Run a case on the device that there is."""
    return lambda case, tensors: run_function(
        run_kernels, case, [tensor.detach().numpy() for tensor in tensors]
    )


def assert_close(results, expected, tolerance):
    """Compare all results, each relative to its largest element."""
    for name, result in results.items():
        if result.size:
            error = np.abs(result - expected[name]).max() / np.abs(expected[name]).max()
            assert error < tolerance, f"{name} is off by {error:.1e} of its largest element"


def name_of(case):
    return f"{'-'.join(sorted({name.partition('_')[0] for name in case.operations}))}-{case.dtype}"


@pytest.mark.parametrize(
    ("case", "tolerance"),
    [
        # The interpreter takes a time that grows with the blocks, of which 3 channels need one,
        # and with the taps: all operations are in these two cases and the third.
        (
            Case(("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3",
                  "dil_conv_5x5"), channels=3, num_inputs=1),
            EXACT,
        ),
        pytest.param(
            Case(ATROUS, channels=3, num_inputs=1),
            EXACT,
            marks=pytest.mark.nightly,  # 7 s; its operations are in other cases
        ),
        # Statistics of the past, everything computed again in the backward pass.
        (
            Case(("max_pool_3x3", "sep_conv_5x5", "dil_conv_3x3"), channels=3, num_targets=1,
                 num_inputs=1, training=False, keep=False),
            EXACT,
        ),
        pytest.param(
            Case(SEPARABLE, channels=3, num_inputs=1),
            EXACT,
            marks=pytest.mark.nightly,  # 14 s
        ),
        (Case(("none", "atrous_conv_3x3"), num_targets=1, training=False), EXACT),
        # As in the step of the weights, computed again: no running statistics move.
        (
            Case(("sep_conv_3x3", "avg_pool_3x3"), channels=3, num_targets=1, num_inputs=1,
                 keep=False, momentum=0.0, wants_alpha=False),
            EXACT,
        ),
        # As in the step of alpha.
        (
            Case(("dil_conv_5x5", "atrous_conv_3x3"), channels=3, num_targets=1,
                 wants_weight=False),
            EXACT,
        ),
        (Case(("skip_connect", "none"), num_targets=1, num_inputs=1), EXACT),
        # Products of matrices of 32 (20, padded), and of two blocks of 64 channels (100, padded).
        (
            Case(("sep_conv_3x3", "dil_conv_3x3"), channels=20, num_targets=1, num_inputs=1,
                 size=(1, 3, 7), dtype="float32"),
            SINGLE,
        ),
        pytest.param(
            Case(("sep_conv_3x3",), channels=100, num_targets=1, num_inputs=1, size=(1, 3, 5),
                 dtype="float32"),
            SINGLE,
            marks=pytest.mark.nightly,  # 6 s
        ),
        pytest.param(
            Case(("atrous_conv_3x3",), channels=100, num_targets=1, num_inputs=1, size=(1, 3, 7),
                 dtype="float32"),
            SINGLE,
            marks=pytest.mark.nightly,  # 15 s
        ),
    ],
    ids=lambda value: name_of(value) if isinstance(value, Case) else "",
)  # fmt: skip
def test_equals_plain_operators(run, case, tolerance):
    tensors = case.round(case.draw())
    expected = reference(case, tensors)
    results = run(case, tensors)
    optional = {"weight": case.wants_weight, "alpha": case.wants_alpha}
    assert set(results) == {name for name in expected if optional.get(name, True)}
    assert_close(results, expected, tolerance)


def test_maps_in_bf16_are_cast_at_the_door(run_function):
    types, own, expected = run_function(run_cell_on_bf16_maps)
    assert types == {
        "maps": "torch.bfloat16",
        "out": "torch.float32",
        "gradient of maps": "torch.bfloat16",
        "gradient of alpha": "torch.float32",
    }
    in_bf16 = {"state": own.pop("state")}
    assert_close(own, expected, SINGLE)
    assert_close(in_bf16, expected, 2**-8)  # rounded once, at the door


def test_the_first_maximum_receives_the_gradient(run):
    # Of equal values torch's max pooling takes the first, in row-major order.
    case = Case(("max_pool_3x3",), num_targets=1, num_inputs=1)
    *others, state, alpha, grad = case.draw()
    tensors = (*others, state.round().clamp(-1, 1), alpha, grad)
    assert_close(run(case, tensors), reference(case, tensors), EXACT)


def test_a_broken_state_stays_visible(run):
    case = Case(("max_pool_3x3", "sep_conv_3x3"), num_targets=1, num_inputs=1, training=False)
    tensors = case.draw()
    tensors[3][1, 0, 2, 2, 3] = torch.nan
    is_nan = np.isnan(reference(case, tensors)["contributions"])
    assert 0 < is_nan.sum() < is_nan.size
    np.testing.assert_array_equal(np.isnan(run(case, tensors)["contributions"]), is_nan)


def test_the_variance_survives_a_large_mean(run):
    # E[x^2] - E[x]^2 of values near 1000 is off by 0.06 in float32. Here only the means of the
    # blocks are rounded, at 6e-5, and weighted by their distances from the mean, 0.1 or so.
    case = Case(("max_pool_3x3",), num_targets=1, num_inputs=1, dtype="float32", momentum=1.0)
    *others, state, alpha, grad = case.draw()
    tensors = case.round((*others, state + 1000, alpha, grad))
    expected, results = reference(case, tensors), run(case, tensors)
    np.testing.assert_allclose(results["running_var"], expected["running_var"], rtol=1e-3)
    assert_close(results, expected, 1e-3)


def test_one_value_has_no_variance(run):
    case = Case(("max_pool_3x3",), num_targets=1, num_inputs=1, size=(1, 1, 1))
    with pytest.raises(ValueError, match=r"size \(1, 5, 1, 1\) has one value per channel"):
        run(case, case.draw())
    run(replace(case, training=False), case.draw())  # evaluation needs no variance


def test_the_package_does_not_need_triton():
    # None in sys.modules makes an import fail.
    script = "import sys; sys.modules['triton'] = None; import autoseg.supernet"
    assert printed_by(script) == ""


def test_kernels_start_on_the_device_of_their_tensors(monkeypatch):
    # Triton itself starts them on the current one, where the pointers are foreign.
    from autoseg.supernet.triton_kernels import launches

    log = []

    @contextmanager
    def device_of(tensor):
        log.append(f"on {tensor}'s device")
        yield
        log.append("off")

    def start(*arguments, **constants):
        log.append((arguments, constants))

    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    launches._launch({(2, 3): start}, (2, 3), "state", 5, C=4)
    started = (("state", 5), {"C": 4, "enable_fp_fusion": True})
    assert log == ["on state's device", started, "off"]
