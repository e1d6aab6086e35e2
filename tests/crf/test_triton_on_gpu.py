"""The Triton kernels through `DenseCRF` on a real device, against plain operators on the CPU."""

from typing import Any

import pytest
import torch

from autoseg.crf import DenseCRF
from tests.crf.reference import scene
from tests.waits import waits_are_errors

pytestmark = pytest.mark.gpu
MODES = ("fast", "accurate", "exact")
# Not whole: between two simplices, rounding decides which lattice points exist.
SETTINGS: dict[str, Any] = {
    "bilateral_weight": 4.0,
    "bilateral_xy_std": 20.3,
    "bilateral_rgb_std": 13.1,
    "spatial_weight": 2.0,
    "spatial_xy_std": 1.3,
    "num_iterations": 5,
}


@pytest.mark.parametrize("mode", MODES)
def test_the_gpu_gives_the_result_of_float64(mode):
    logits, images = scene(12, (91, 120))
    expected = DenseCRF(**SETTINGS, mode=mode, backend="torch").double()(logits, images)
    crf = DenseCRF(**SETTINGS, mode=mode, backend="fused").cuda()

    with torch.no_grad():
        marginals = crf(logits.float().cuda(), images.cuda())

    # float32 through five updates; a few pixels that lie between two labels amplify it.
    error = (marginals.cpu() - expected).abs()
    assert error.mean() < 1e-6
    assert error.max() < 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_results_are_the_same_bits_in_every_run(mode):
    logits, images = (part.cuda() for part in scene(12, (91, 120)))
    crf = DenseCRF(**SETTINGS, mode=mode, backend="fused").cuda()

    with torch.no_grad():
        first, second = (crf(logits.float(), images) for _ in range(2))

    assert torch.equal(first, second)


@pytest.mark.parametrize("mode", MODES)
def test_the_host_waits_for_no_update(mode, monkeypatch):
    from autoseg.crf.triton_kernels import mean_field

    logits, images = (part.cuda() for part in scene(12, (31, 40)))
    crf = DenseCRF(**SETTINGS, mode=mode, backend="fused").cuda()
    run_updates = mean_field.run_updates

    def watched(*arguments: Any, **options: Any) -> torch.Tensor:
        with waits_are_errors():
            return run_updates(*arguments, **options)

    with torch.no_grad():
        crf(logits.float(), images)  # compiles
        monkeypatch.setattr(mean_field, "run_updates", watched)
        crf(logits.float(), images)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_are_those_of_float64(mode, recompute):
    logits, images = scene(5, (31, 40))
    gradients = []
    for backend, dtype, device in (
        ("torch", torch.float64, "cpu"),
        ("fused", torch.float32, "cuda"),
    ):
        crf = DenseCRF(**SETTINGS, mode=mode, backend=backend, recompute=recompute)
        crf = crf.to(device, dtype)
        scores = logits.to(device, dtype, copy=True).requires_grad_()
        marginals = crf(scores, images.to(device))
        (marginals * scores.detach().cos()).sum().backward()
        gradients.append([scores.grad, *(weight.grad for weight in crf.parameters())])

    for expected, grad in zip(*gradients, strict=True):
        assert expected is not None
        assert grad is not None
        assert (grad.cpu() - expected).abs().max() < 1e-3 * expected.abs().max()
