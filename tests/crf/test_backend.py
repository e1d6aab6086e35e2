"""The choice of a back end, and the two back ends against each other."""

import re
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg import backends
from autoseg._native import core
from autoseg.crf import (
    BilateralKernel,
    DenseCRF,
    SpatialKernel,
    backend,
    filters,
    inference,
)
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, scene, settings_with
from tests.fresh_process import printed_by

needs_kernels = pytest.mark.skipif(core() is None, reason="the compiled kernels are missing")
MODES = ("fast", "accurate")


def native_unless_torch(name: str, **_: Any) -> str:
    """Stand in for `choose_implementation` where compiled kernels may be missing."""
    return "torch" if name == "torch" else "native"


def both(logits: Tensor, images: Tensor, **settings: Any) -> tuple[Tensor, Tensor]:
    """Marginals of the plain and of the compiled back end, each pixel in each update."""
    with torch.no_grad():
        plain = DenseCRF(**settings, backend="torch")(logits, images)
        fused = DenseCRF(**settings, backend="fused", subsample_above=None)
        return plain, fused(logits, images)


@needs_kernels
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bilateral_xy_std": 60.0, "bilateral_rgb_std": 12.0, "num_iterations": 10},
        {"num_iterations": 0},
        {"bilateral_weight": 0.0},
        {"normalisation": "before"},
        {"normalisation": "after"},
        {"normalisation": "none", "bilateral_weight": 0.1, "spatial_weight": 0.2},
        {"bilateral_weight": [1.0, 2.0, 3.0, 0.5], "spatial_weight": [0.0, 2.0, 1.0, 1.5]},
        {"compatibility": [[0, 1, 2, 1], [3, 0, 0.5, 1], [1, 1, -0.5, 2], [0, 2, 1, 0.25]]},
        {"tolerance": 0.05, "num_iterations": 30},
        {
            "tolerance": 0.05,
            "num_iterations": 30,
            "compatibility": [[0, 1, 2, 1], [3, 0, 0.5, 1], [1, 1, -0.5, 2], [0, 2, 1, 0.25]],
        },
        {
            "additional_kernels": [
                SpatialKernel(weight=[1.0, 0.5, 0.0, 2.0], xy_std=0.7),
                BilateralKernel(weight=0.75, xy_std=9.0, rgb_std=20.0),
            ],
        },
    ],
)
def test_fused_equals_torch(mode, changes):
    logits, image = scene(4, (29, 38))
    # Some pixels lie exactly between two simplices here; both back ends put them into the same.
    stds = {"bilateral_xy_std": 4.0, "bilateral_rgb_std": 40.0}

    plain, fused = both(logits.float(), image, **SETTINGS | stds | changes, mode=mode)

    # The same lattice; float32 sums in another order, passed on by up to ten updates.
    torch.testing.assert_close(fused, plain, rtol=0, atol=5e-6)


@needs_kernels
@pytest.mark.parametrize("mode", MODES)
def test_fused_equals_torch_but_for_the_half_resolution_of_wide_spatial_kernels(mode):
    logits, image = scene(4, (33, 46))

    plain, fused = both(logits.float(), image, **settings_with(spatial_xy_std=3.0), mode=mode)

    assert (fused - plain).abs().mean() < 1e-3
    change = (plain - logits.softmax(dim=1)).abs().mean()
    assert (fused - plain).abs().mean() < change / 50


@needs_kernels
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("num_classes", "size"), [(2, (1, 1)), (3, (1, 20)), (150, (6, 5))])
def test_fused_equals_torch_at_the_limits(mode, num_classes, size):
    logits, image = scene(num_classes, size)
    extreme = logits.sign() * 1e4

    for scores in (logits, extreme, logits.half()):
        plain, fused = both(scores.float(), image, **SETTINGS, mode=mode)
        torch.testing.assert_close(fused, plain, rtol=0, atol=1e-4)


@needs_kernels
@pytest.mark.parametrize("mode", MODES)
def test_fused_gradients_equal_those_of_torch(mode, monkeypatch):
    logits, image = (part.float() for part in scene(3, (9, 12)))
    built = []
    native_filter = filters.NativePermutohedralFilter
    monkeypatch.setattr(
        filters,
        "NativePermutohedralFilter",
        lambda *given: built.append(native_filter(*given)) or built[-1],
    )
    gradients = []
    for name in ("torch", "fused"):
        settings = settings_with(bilateral_xy_std=4.1, bilateral_rgb_std=41.3)
        crf = DenseCRF(**settings, mode=mode, backend=name)
        scores = logits.clone().requires_grad_()
        (crf(scores, image) * logits.cos()).sum().backward()
        gradients.append([scores.grad, *(p.grad for p in crf.parameters())])

    assert len(built) == 1
    for plain, fused in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)  # float32 rounding


@needs_kernels
def test_fused_refuses_float64_and_auto_takes_torch():
    logits, image = scene(3, (4, 5))
    with pytest.raises(UsageError, match=r"compute in float32, the logits are torch\.float64"):
        DenseCRF(**SETTINGS, backend="fused")(logits, image)

    auto, plain = (DenseCRF(**SETTINGS, backend=name)(logits, image) for name in ("auto", "torch"))

    assert torch.equal(auto, plain)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_auto_takes_the_compiled_kernels_where_it_may(mode, needs_gradient, monkeypatch):
    calls = []

    def marginals(logits: Tensor, image: Tensor, terms: Any, **options: Any) -> Tensor:
        calls.append((logits, image, terms, options))
        return logits

    monkeypatch.setattr(inference, "native_marginals", marginals)
    monkeypatch.setattr(inference, "choose_implementation", native_unless_torch)
    monkeypatch.setattr(
        filters,
        "NativePermutohedralFilter",
        lambda features, closed, dtype: filters.PermutohedralFilter(
            features, dtype=dtype, closed=closed
        ),
    )
    logits, image = scene(3, (4, 5))
    kernel = SpatialKernel(weight=[1.0, 2.0, 4.0], xy_std=7.0)
    crf = DenseCRF(
        **SETTINGS,
        additional_kernels=[kernel],
        compatibility=[[0, 2, 1], [0, 0, 1], [1, 1, 0]],
        normalisation="after",
        tolerance=0.25,
        subsample_above=12.5,
        mode=mode,
    )

    with torch.set_grad_enabled(needs_gradient):
        result = crf(logits.half(), image)

    if needs_gradient:
        assert not calls
        return
    ((scores, colours, terms, options),) = calls
    assert torch.equal(result[0], scores)
    assert torch.equal(scores, logits[0].half().float())
    assert torch.equal(colours, image[0].float())
    assert [weight.tolist() for _, weight in terms] == [2.5, 1.5, [1.0, 2.0, 4.0]]
    assert tuple(kernel for kernel, _ in terms) == crf.settings.kernels
    assert options["compatibility"].tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert options["settings"] is crf.settings


@pytest.fixture
def without_core(monkeypatch):
    monkeypatch.setattr(backends, "core", lambda: None)
    monkeypatch.setattr(backends, "missing_reason", lambda: "No compiler was found.")
    monkeypatch.setattr(backends, "_fastest", backends._fastest.__wrapped__)
    monkeypatch.setattr(backends, "_said", set())


def test_without_compiled_kernels_auto_takes_torch_and_fused_says_why(without_core):
    logits, image = (part.float() for part in scene(3, (4, 5)))
    with torch.no_grad():
        message = r"^DenseCRF: back end torch, which takes several times as long \(the compiled ker"
        with pytest.warns(UserWarning, match=message):
            auto = DenseCRF(**SETTINGS, backend="auto")(logits, image)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # once a process
            DenseCRF(**SETTINGS, backend="auto")(logits, image)
        assert torch.equal(auto, DenseCRF(**SETTINGS, backend="torch")(logits, image))
        message = "backend 'fused' on cpu: the compiled kernels are missing. No compiler was found."
        with pytest.raises(UsageError, match=re.escape(message)):
            DenseCRF(**SETTINGS, backend="fused")(logits, image)


def test_an_image_too_large_for_the_compiled_kernels_is_left_to_torch(monkeypatch):
    def marginals(*_: Any, **__: Any) -> Tensor:
        raise NotImplementedError("too many points.")

    monkeypatch.setattr(inference, "native_marginals", marginals)
    monkeypatch.setattr(inference, "choose_implementation", native_unless_torch)
    logits, image = (part.float() for part in scene(3, (4, 5)))
    with torch.no_grad():
        auto, plain = (
            DenseCRF(**SETTINGS, backend=name)(logits, image) for name in ("auto", "torch")
        )

        assert torch.equal(auto, plain)
        with pytest.raises(UsageError, match=r"too many points\. Use backend='torch'"):
            DenseCRF(**SETTINGS, backend="fused")(logits, image)


@pytest.mark.parametrize(
    ("name", "mode", "dtype"),
    [
        ("torch", "fast", torch.float32),
        ("auto", "exact", torch.float32),
        ("auto", "fast", torch.float64),
    ],
)
def test_nothing_is_said_where_the_kernels_would_not_be_used(without_core, name, mode, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = {"mode": mode, "device_type": "cpu", "dtype": dtype}
        assert backend.choose_implementation(name, **asked) == "torch"


GPU = {"device_type": "cuda", "dtype": torch.float32}


@pytest.mark.parametrize("mode", ["fast", "accurate", "exact"])
@pytest.mark.parametrize("name", ["auto", "fused"])
def test_nvidia_devices_take_triton(name, mode, monkeypatch):
    found = backends.Backend("triton", "named by the test")
    monkeypatch.setattr(backends, "_fastest", lambda device_type: found)

    assert backend.choose_implementation(name, mode=mode, **GPU) == "triton"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"mode": "exact", "device_type": "cpu"}, "no fused kernels for mode 'exact' on this kind"),
        ({"mode": "fast", "device_type": "mps"}, "'fused' on mps: there are no fused kernels for"),
        ({"mode": "fast", "device_type": "cuda", "dtype": torch.float64}, "compute in float32, th"),
    ],
)
def test_what_there_are_no_fused_kernels_for_is_plain_operators_or_refused(asked, message):
    asked = {"dtype": torch.float32, **asked}

    assert backend.choose_implementation("auto", **asked) == "torch"
    with pytest.raises(UsageError, match=re.escape(message)):
        backend.choose_implementation("fused", **asked)


def test_the_package_does_not_need_triton():
    # None in sys.modules makes an import fail.
    script = "import sys; sys.modules['triton'] = None; from autoseg.crf import DenseCRF"
    assert printed_by(script) == ""
