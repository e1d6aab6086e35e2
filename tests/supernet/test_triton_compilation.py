"""What triton's interpreter does not see: whether the kernels compile, and run in a CUDA graph.

To compile, triton needs no device.
"""

import importlib.util
import sys

import pytest
import torch

from tests.fresh_process import fresh_process
from tests.supernet.triton_source import (
    ATROUS,
    SEPARABLE,
    Case,
    run_kernels,
)
from tests.triton_process import compile_instead

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def compile_kernels(case):
    """Compile all kernels that a case launches, and return (compiled, defined) names."""
    from autoseg.supernet.triton_kernels import (
        atrous,
        batch_norm,
        launches,
        mixing,
        pooling,
        separable,
    )

    launches._launch, compiled = compile_instead()
    run_kernels(case, case.draw())
    modules = atrous, batch_norm, mixing, pooling, separable
    defined = {name for module in modules for name in vars(module) if name.endswith("_kernel")}
    return compiled, defined


@pytest.mark.nightly  # 11 s, of a compiler that no CPU needs
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
