"""Whether the Triton kernels compile, for which triton needs no device.

The interpreter runs Python: it does not see, for instance, a variable that changes its type.
"""

import importlib.util
import sys
from typing import Any

import pytest
import torch

from tests.crf.reference import for_kernels, scene
from tests.fresh_process import fresh_process
from tests.triton_process import compile_instead

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def compile_kernels(num_labels: int) -> tuple[set[str], set[str]]:
    """Compile all kernels, and return (compiled, defined) names."""
    from autoseg.crf.triton_kernels import attention, lattice, mean_field, simplex, spatial, update

    compile_only, compiled = compile_instead()
    modules: list[Any] = [attention, lattice, simplex, spatial, update]
    for module in modules:
        module.launch = compile_only
    # What the kernels do not compute is whatever was in memory: of no consequence here.
    logits, images = scene(num_labels, (9, 12))
    logits, image, stds = logits[0].float(), images[0], (4.1, 41.3)
    settings: dict[str, Any]
    for settings in (
        {"spatial": [(1.0, 3.0), (1.0, 1.0)]},
        {"mode": "accurate", "tolerance": 0.1},
        {"mode": "exact", "compatibility": torch.eye(num_labels)},
        {"mode": "exact", "image": image.float()},
    ):
        settings = {"image": image, "spatial": [], "bilateral": [(1.0, *stds)]} | settings
        image_of_case = settings.pop("image")
        terms, options = for_kernels(logits, **settings, num_iterations=1)
        mean_field.triton_marginals(logits, image_of_case, terms, **options)
    kind = {"xy_std": 4.1, "rgb_std": 41.3, "closed": False}
    lattice.TritonPermutohedralFilter(image, **kind).product(torch.rand(108, 1))
    defined = {name for module in modules for name in vars(module) if name.endswith("_kernel")}
    return compiled, defined


@pytest.mark.nightly  # 10 s and more, of a compiler that no CPU needs
@pytest.mark.skipif(sys.platform != "linux", reason="triton compiles for CUDA on Linux")
@pytest.mark.parametrize("num_labels", [3, 19, 150])
def test_all_kernels_compile(tmp_path, num_labels):
    environment = {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    with fresh_process(**environment) as process:
        compiled, defined = process.submit(compile_kernels, num_labels).result()
    assert compiled == defined
