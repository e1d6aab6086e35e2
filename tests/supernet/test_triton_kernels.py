"""The Triton source operation against plain torch operators and autograd.

Where there is a CUDA device the kernels run on it. Elsewhere triton's interpreter runs them on
the CPU. It must be chosen, by TRITON_INTERPRET=1, before triton is imported for the first time,
which another test may have done already, and it must not be chosen for other tests: so it has a
process of its own. What the interpreter does not see, whether the kernels compile, is a test of
its own, for which triton needs no device.
"""

import importlib.util
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from autoseg.supernet.source_layout import SourceLayout
from tests.supernet.bf16_cell import run_cell_on_bf16_maps
from tests.supernet.source_reference import random_source, reference_source, updated_statistics

HAS_CUDA = torch.cuda.is_available()
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)

SEPARABLE = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
ATROUS = ("none", "skip_connect", "atrous_conv_3x3", "atrous_conv_5x5")

# float64: sums of a few hundred terms, each rounded at 1e-16, divided by deviations near 1.
EXACT = 1e-12
# float32: likewise at 6e-8.
SINGLE = 1e-5


@dataclass(frozen=True)
class Case:
    """One call of the kernels, forward and backward."""

    operations: tuple[str, ...]
    channels: int = 5
    num_targets: int = 2
    num_inputs: int = 2
    size: tuple[int, int, int] = (2, 5, 7)  # 70 pixels: a block of 64 and a rest
    training: bool = True
    keep: bool = True
    momentum: float = 0.1
    dtype: str = "float64"
    wants_weight: bool = True
    wants_alpha: bool = True

    @property
    def layout(self):
        return SourceLayout(self.operations, self.channels, self.num_targets, self.num_inputs)

    def draw(self):
        """Draw (weight, running mean, running variance, state, alpha, gradient of out)."""
        weight, statistics, state, alpha = random_source(self.layout, self.size, seed=0)
        num_images, num_inputs, channels, height, width = state.shape
        shape = (num_images, num_inputs, self.num_targets, channels, height, width)
        grad = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return weight, *statistics, state, alpha, grad

    def round(self, tensors):
        """Round to the type that the kernels are given, so that the reference sees the same."""
        return [tensor.to(getattr(torch, self.dtype)).double() for tensor in tensors]


def run_kernels(case, tensors, device="cpu"):
    """Run forward and backward, and return what they wrote, by name.

    The contributions and the state's gradient are added to ones: what is added is returned.
    """
    from autoseg.supernet.triton_kernels import TritonSourceKernels

    dtype = getattr(torch, case.dtype)
    tensors = (torch.as_tensor(tensor).to(device, dtype) for tensor in tensors)
    weight, running_mean, running_var, state, alpha, grad = tensors
    num_images, _, channels, height, width = state.shape
    options = {"size": (num_images, channels, height, width), "training": case.training}
    kernels = TritonSourceKernels(block_elements=512, num_programs=1)

    def pack_targets(maps):
        return torch.stack([kernels.pack(target) for target in maps.unbind(dim=2)])

    packed, out = kernels.pack(state), pack_targets(torch.ones_like(grad))
    saved = kernels.forward(
        case.layout,
        weight,
        (running_mean, running_var),
        packed,
        alpha,
        out,
        momentum=case.momentum,
        keep=case.keep,
        **options,
    )
    grad_state = torch.ones_like(packed)
    grad_weight = torch.full_like(weight, torch.nan) if case.wants_weight else None
    grad_alpha = torch.full_like(alpha, torch.nan) if case.wants_alpha else None
    kernels.backward(
        case.layout,
        weight,
        packed,
        alpha,
        saved,
        pack_targets(grad),
        grad_state,
        grad_weight=grad_weight,
        grad_alpha=grad_alpha,
        **options,
    )
    unpacked = [kernels.unpack(target, num_images, channels) for target in out]
    results = {
        "contributions": torch.stack(unpacked, dim=2) - 1,
        "running_mean": running_mean,
        "running_var": running_var,
        "state": kernels.unpack(grad_state, num_images, channels) - 1,
        "weight": grad_weight,
        "alpha": grad_alpha,
    }
    return {name: x.cpu().numpy() for name, x in results.items() if x is not None}


def reference(case, tensors):
    """Compute what `run_kernels` returns by plain operators and autograd."""
    weight, running_mean, running_var, state, alpha, grad = tensors
    inputs = {"state": state, "weight": weight, "alpha": alpha}
    for tensor in inputs.values():
        tensor.requires_grad_()
    statistics = running_mean, running_var
    result = reference_source(case.layout, weight, statistics, state, alpha, training=case.training)
    result.contributions.backward(grad)
    if case.training:
        statistics = updated_statistics(
            statistics, result, num_samples=np.prod(case.size), momentum=case.momentum
        )
    expected = {
        "contributions": result.contributions.detach(),
        "running_mean": statistics[0],
        "running_var": statistics[1],
        # A sum that does not contain an input has no gradient at all in autograd.
        **{name: torch.zeros_like(x) if x.grad is None else x.grad for name, x in inputs.items()},
    }
    return {name: tensor.detach().numpy() for name, tensor in expected.items()}


def start_process(environment):
    os.environ.update(environment)
    torch.set_num_threads(1)


def fresh_process(**environment):
    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_process,
        initargs=(environment,),
    )


@pytest.fixture(scope="module")
def run_function():
    """Run a function on the device that there is, whose name is its last argument."""
    if HAS_CUDA:
        yield lambda function, *arguments: function(*arguments, "cuda")
        return
    with fresh_process(TRITON_INTERPRET="1") as process:
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
        # The interpreter takes a time that grows with the blocks: 3 channels, one input.
        (Case(SEPARABLE, channels=3, num_inputs=1), EXACT),
        (Case(ATROUS, num_inputs=1), EXACT),
        # Statistics of the past, everything computed again in the backward pass.
        (
            Case(("max_pool_3x3", "sep_conv_5x5", "dil_conv_3x3"), channels=3, num_inputs=1,
                 training=False, keep=False),
            EXACT,
        ),
        (Case(("none", "atrous_conv_3x3"), num_targets=1, training=False), EXACT),
        # As in the step of the weights, computed again: no running statistics move.
        (
            Case(("sep_conv_3x3", "avg_pool_3x3"), num_targets=1, keep=False, momentum=0.0,
                 wants_alpha=False),
            EXACT,
        ),
        # As in the step of alpha.
        (Case(("dil_conv_5x5", "atrous_conv_3x3"), num_targets=1, wants_weight=False), EXACT),
        (Case(("skip_connect", "none"), num_targets=1, num_inputs=1), EXACT),
        # Products of matrices of 32 (20, padded), and of two blocks of 64 channels (100, padded).
        (
            Case(("sep_conv_3x3", "dil_conv_3x3"), channels=20, num_targets=1, num_inputs=1,
                 size=(1, 3, 7), dtype="float32"),
            SINGLE,
        ),
        (
            Case(("sep_conv_3x3",), channels=100, num_targets=1, num_inputs=1, size=(1, 3, 7),
                 dtype="float32"),
            SINGLE,
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
    subprocess.run([sys.executable, "-c", script], check=True)


class Hopper:
    """Stands in for triton's driver where there is none: the compiler asks it for the target."""

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def compile_kernels(case):
    """Compile all kernels that a case launches, and return (compiled, defined) names."""
    import triton

    from autoseg.supernet.triton_kernels import (
        atrous,
        batch_norm,
        launches,
        mixing,
        pooling,
        separable,
    )

    compiled = set()

    def compile_only(kernel, grid, *arguments, **constants):
        binary = kernel.warmup(*arguments, grid=grid, **constants, enable_fp_fusion=True)
        assert binary.asm["cubin"]
        compiled.add(kernel.__name__)

    triton.runtime.driver.set_active(Hopper())
    launches._launch = compile_only
    run_kernels(case, case.draw())
    modules = atrous, batch_norm, mixing, pooling, separable
    defined = {name for module in modules for name in vars(module) if name.endswith("_kernel")}
    return compiled, defined


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="triton compiles for CUDA on Linux")
def test_all_kernels_compile(tmp_path):
    # The interpreter runs Python: it does not see, for instance, a variable that changes its type.
    environment = {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    case = Case((*SEPARABLE, *ATROUS[2:]), channels=8, dtype="float32")
    with fresh_process(**environment) as process:
        compiled, defined = process.submit(compile_kernels, case).result()
    assert compiled == defined


@pytest.mark.gpu
def test_a_cuda_graph_repeats_the_same_bits():
    from autoseg.supernet.triton_kernels import TritonSourceKernels

    case = Case((*SEPARABLE, *ATROUS[2:]), channels=8, dtype="float32")
    drawn = [tensor.to("cuda", torch.float32) for tensor in case.draw()]
    weight, running_mean, running_var, state, alpha, grad = drawn
    num_images, _, channels, height, width = state.shape
    options = {"size": (num_images, channels, height, width), "training": True}
    kernels = TritonSourceKernels()
    packed = kernels.pack(state)
    out = torch.zeros(case.num_targets, *packed.shape, device="cuda")
    packed_grad = torch.stack([kernels.pack(target) for target in grad.unbind(dim=2)])
    grads = torch.empty_like(packed), torch.empty_like(weight), torch.empty_like(alpha)

    def step():
        out.zero_()
        grads[0].zero_()
        saved = kernels.forward(
            case.layout,
            weight,
            (running_mean, running_var),
            packed,
            alpha,
            out,
            momentum=0.0,
            keep=True,
            **options,
        )
        kernels.backward(
            case.layout,
            weight,
            packed,
            alpha,
            saved,
            packed_grad,
            grads[0],
            grad_weight=grads[1],
            grad_alpha=grads[2],
            **options,
        )

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()  # compiles
    torch.cuda.current_stream().wait_stream(stream)
    expected = [tensor.clone() for tensor in (out, *grads)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for tensor in (out, *grads):
        tensor.fill_(torch.nan)
    graph.replay()
    torch.cuda.synchronize()
    for tensor, same in zip((out, *grads), expected, strict=True):
        assert torch.equal(tensor, same)
