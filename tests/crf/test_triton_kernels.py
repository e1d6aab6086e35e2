"""Inference by the Triton kernels against plain operators in float64.

Where there is no CUDA device, triton's interpreter runs the kernels.
"""

import importlib.util
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.crf import BilateralKernel, DenseCRF, SpatialKernel
from autoseg.crf.filters import build_filter
from autoseg.crf.gaussian import GaussianFilter
from autoseg.crf.linear import NORMALISATIONS, LinearFilter, Normalised
from autoseg.crf.mean_field import mean_field
from tests.crf.large_logits import CASES, IDS
from tests.crf.reference import HalvedGaussian, for_kernels, scene

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
CPU = torch.device("cpu")

# Of a marginal: a few updates in float32, whose sums have at most a few hundred terms.
TOLERANCE = 3e-6

# Not whole: between two simplices, rounding decides which points exist.
STANDARD: dict[str, Any] = {
    "bilateral": [(2.5, 4.1, 41.3)],
    "spatial": [(1.5, 1.2)],
    "num_iterations": 2,
}


def infer(logits: Tensor, image: Tensor, settings: dict[str, Any]) -> Tensor:
    from autoseg.crf.triton_kernels import triton_marginals

    terms, options = for_kernels(logits, **settings)
    return triton_marginals(logits, image, terms, **options)


def reference(logits: Tensor, image: Tensor, settings: dict[str, Any]) -> Tensor:
    """The same in float64 and plain operators."""
    options = {"normalisation": "symmetric", "mode": "fast"} | settings
    mode, normalisation = options.pop("mode"), options.pop("normalisation")
    bilateral, spatial = options.pop("bilateral"), options.pop("spatial")
    if options.get("compatibility") is not None:
        options["compatibility"] = options["compatibility"].double()
    height, width = image.shape[1:]
    terms: list[tuple[Any, LinearFilter]] = []
    for weight, xy_std, rgb_std in bilateral:
        kernel = BilateralKernel(weight=0.0, xy_std=xy_std, rgb_std=rgb_std)
        kind: dict[str, Any] = {"dtype": torch.float64, "implementation": "torch"}
        terms.append((weight, build_filter(kernel, image, mode=mode, **kind)))
    for weight, std in spatial:
        truncation = math.inf if mode == "exact" else 5.0
        filter_ = GaussianFilter(
            height, width, std=std, truncation=truncation, dtype=torch.float64, device=CPU
        )
        halved = mode != "exact" and std >= 2
        terms.append((weight, HalvedGaussian(height, width, std) if halved else filter_))
    ones = torch.ones(height * width, 1, dtype=torch.float64)
    weighted = [
        (torch.as_tensor(weight).double(), Normalised(filter_, ones, normalisation))
        for weight, filter_ in terms
    ]
    return mean_field(logits.double().flatten(1), weighted, **options).view_as(logits)


def one_scene(num_labels: int, size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (K, H, W), float32, and image (3, H, W)."""
    logits, images = scene(num_labels, size, seed)
    return logits[0].float(), images[0]


def check(on_device: Any, logits: Tensor, image: Tensor, **changes: Any) -> Tensor:
    settings = STANDARD | changes
    result, expected = on_device(infer, logits, image, settings), reference(logits, image, settings)
    assert result.dtype == torch.float32
    assert (result - expected).abs().max() < TOLERANCE
    return expected


@pytest.mark.parametrize(
    ("mode", "size", "changes"),
    [
        ("fast", (9, 11), {}),  # 99 pixels: a block of 64 and a rest
        ("accurate", (4, 5), {}),
        ("exact", (9, 11), {"spatial": [(1.5, 2.5)]}),
        ("fast", (9, 12), {"spatial": [(1.5, 2.5)]}),  # a half row of cells
        pytest.param(  # a half column
            "fast", (6, 5), {"spatial": [(0.5, 2.0), (1.0, 7.3)]}, marks=pytest.mark.nightly
        ),
        ("fast", (1, 13), {"spatial": [(1.5, 3.0)]}),
        ("fast", (13, 1), {"spatial": [(1.5, 0.7)]}),
        ("fast", (1, 1), {}),
        ("exact", (1, 1), {}),
        ("fast", (5, 7), {"num_iterations": 0}),
        ("fast", (5, 7), {"bilateral": []}),
        ("fast", (5, 7), {"spatial": []}),
        ("fast", (5, 7), {"bilateral": [], "spatial": []}),
        *(
            ("fast", (5, 7), {"bilateral": [], "spatial": [(weight, 2.5)], "normalisation": each})
            for each, weight in [("before", 1.5), ("after", 1.5), ("none", 0.05)]
        ),
    ],
)
def test_marginals_are_those_of_the_filters(on_device, mode, size, changes):
    logits, image = one_scene(3, size)

    expected = check(on_device, logits, image, mode=mode, **changes)

    is_softmax = STANDARD | changes
    if is_softmax["num_iterations"] and len(is_softmax["bilateral"] + is_softmax["spatial"]):
        assert (expected - logits.softmax(dim=0)).abs().max() > 0.01  # there was something to do


@pytest.mark.parametrize(
    ("mode", "normalisation", "has_compatibility"),
    [
        # The interpreter takes two seconds for each fast one, whose lattice knows no normalisation.
        ("fast", "symmetric", True),
        *(("exact", normalisation, True) for normalisation in ("symmetric", "before")),
        ("exact", "before", False),
        *(
            pytest.param(mode, normalisation, has_compatibility, marks=pytest.mark.nightly)
            for mode, normalisation, has_compatibility in [
                ("fast", "symmetric", False),
                *(("fast", each, True) for each in NORMALISATIONS if each != "symmetric"),
                *(("exact", each, True) for each in ("after", "none")),
                *(("exact", each, False) for each in NORMALISATIONS if each != "before"),
            ]
        ),
    ],
)
def test_several_kernels_class_weights_and_compatibility(
    on_device, mode, normalisation, has_compatibility
):
    logits, image = one_scene(6, (5, 7))
    generator = torch.Generator().manual_seed(1)
    small = 0.05 if normalisation == "none" else 1.0  # unnormalised messages are large
    mu = torch.rand(6, 6, generator=generator)

    check(
        on_device,
        logits,
        image,
        mode=mode,
        normalisation=normalisation,
        bilateral=[(small * torch.rand(6, generator=generator), 8.1, 20.3), (0.5 * small, 3.1, 41)],
        spatial=[(small * torch.rand(6, generator=generator), 2.5), (0.7 * small, 1.3)],
        compatibility=mu if has_compatibility else None,
    )


@pytest.mark.parametrize(
    ("mode", "num_labels"),
    [
        *(("fast", 2), ("fast", 33), ("exact", 2), ("exact", 150)),
        pytest.param("fast", 150, marks=pytest.mark.nightly),  # 4 s
    ],
)
def test_few_and_many_labels(on_device, mode, num_labels):
    check(on_device, *one_scene(num_labels, (3, 4)), mode=mode)


@pytest.mark.parametrize(
    ("mode", "draw", "number"),
    [
        # The last of each kind is the largest; between updates the logits are those of all modes.
        pytest.param(
            mode, *case, marks=() if mode == "exact" or index in (3, 7) else pytest.mark.nightly
        )
        for mode in ("fast", "exact")
        for index, case in enumerate(CASES)
    ],
    ids=[f"{mode}-{name}" for mode in ("fast", "exact") for name in IDS],
)
def test_large_logits_and_large_constants(on_device, mode, draw, number):
    scores, logits, images = draw(number, (4, 5))
    settings = STANDARD | {"mode": mode}
    result = on_device(infer, logits[0], images[0], settings)
    assert (result - reference(scores[0], images[0], settings)).abs().max() < TOLERANCE


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_float_images_and_an_image_of_one_colour(on_device, mode):
    logits, image = one_scene(3, (7, 9))
    check(on_device, logits, 0.81 * image.float() + 0.37, mode=mode)
    # All 63 pixels around the same few points: their sums are made of pieces of 32.
    check(on_device, logits, torch.full_like(image, 77), mode=mode, bilateral=[(2.5, 40.3, 9.0)])


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_huge_deviations_average(on_device, mode):
    logits, image = one_scene(3, (5, 6))
    settings = {"bilateral": [(2.5, 1e30, 1e200)], "spatial": [(1.5, 1e300)], "mode": mode}

    result = on_device(infer, logits, image, STANDARD | settings)

    # All pairs weigh the same, so that each normalised kernel takes the mean over the pixels.
    expected = logits.double().softmax(dim=0)
    for _ in range(STANDARD["num_iterations"]):
        mean = expected.mean(dim=(1, 2), keepdim=True)
        expected = (logits + (2.5 + 1.5) * mean).softmax(dim=0)
    assert (result - expected).abs().max() < TOLERANCE


@pytest.mark.nightly  # 4 s
def test_updates_stop_by_change(on_device):
    logits, image = one_scene(3, (5, 7))
    weak = {"bilateral": [(1.0, 4.1, 41.3)], "spatial": [(0.5, 2.5)]}
    steps = [reference(logits, image, STANDARD | weak | {"num_iterations": n}) for n in range(6)]
    changes = [(b - a).abs().max().item() for a, b in itertools.pairwise(steps)]
    tolerance = math.sqrt(changes[1] * changes[2])  # passed by the third update
    assert changes[2] < 0.8 * tolerance < tolerance < 0.8 * changes[1]
    stopping = {"num_iterations": 20, "tolerance": tolerance}

    result = on_device(infer, logits, image, STANDARD | weak | stopping)

    assert (result - steps[3]).abs().max() < TOLERANCE
    mu = torch.tensor([[0.0, 1.5, 0.25], [1.5, -0.5, 0.0], [0.25, 0.0, 0.25]])
    check(on_device, logits, image, **weak, compatibility=mu, **stopping)


def whole_module(
    settings: dict[str, Any], logits: Tensor, images: Tensor, needs_gradient: bool
) -> tuple[Tensor, list[Tensor]]:
    """Marginals and gradients of a `DenseCRF` that takes the Triton kernels on any device."""
    from autoseg.crf import inference

    choose = inference.choose_implementation
    inference.choose_implementation = lambda name, **_: "triton"
    try:
        crf = DenseCRF(**settings).to(logits.device)
        logits = logits.clone().requires_grad_(needs_gradient)
        with torch.set_grad_enabled(needs_gradient):
            marginals = crf(logits, images)
        if not needs_gradient:
            return marginals, []
        (marginals * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
        grads = [logits.grad, *(weight.grad for weight in crf.parameters())]
        return marginals.detach(), [grad for grad in grads if grad is not None]
    finally:
        inference.choose_implementation = choose


@pytest.mark.parametrize(
    ("mode", "needs_gradient"),
    [
        pytest.param("fast", False, marks=pytest.mark.nightly),
        ("exact", False),
        ("fast", True),
        pytest.param("accurate", True, marks=pytest.mark.nightly),  # 6 s
        ("exact", True),
    ],
)
def test_the_module_takes_them_with_and_without_a_gradient(on_device, mode, needs_gradient):
    scenes = [scene(3, (4, 5), seed) for seed in (0, 1)]
    logits, images = (torch.cat(parts) for parts in zip(*scenes, strict=True))
    settings = {
        "bilateral_weight": [2.5, 2.0, 1.0],
        "bilateral_xy_std": 4.1,
        "bilateral_rgb_std": 41.3,
        "spatial_weight": 1.5,
        "spatial_xy_std": 1.2,
        "num_iterations": 2,
        "mode": mode,
        "compatibility": [[0.0, 1.5, 0.25], [1.0, -0.5, 0.0], [0.5, 0.125, 0.25]],
        "additional_kernels": [SpatialKernel(weight=0.5, xy_std=0.8)],
    }

    marginals, grads = on_device(whole_module, settings, logits.float(), images, needs_gradient)

    crf = DenseCRF(**settings, backend="torch").double()
    logits = logits.float().double().requires_grad_()
    expected = crf(logits, images)
    assert (marginals - expected).abs().max() < TOLERANCE
    if needs_gradient:
        factors = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64)
        (expected * factors.view_as(logits)).sum().backward()
        wanted = [logits.grad, *(weight.grad for weight in crf.parameters())]
        for grad, wanted_grad in zip(grads, wanted, strict=True):
            assert wanted_grad is not None
            assert (grad - wanted_grad).abs().max() < 1e-5 * max(1, wanted_grad.abs().max())


def reads_between_updates(logits: Tensor, image: Tensor, settings: dict[str, Any]) -> list[str]:
    """List operators whose result the host would wait for, of the updates alone."""
    from autoseg.crf.triton_kernels import mean_field as kernels

    reads = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            name = func.overloadpacket.__name__
            if name in ("_local_scalar_dense", "nonzero", "equal", "unique", "_unique2"):
                reads.append(name)
            return func(*args, **(kwargs or {}))

    run_updates = kernels.run_updates

    def watched(*arguments: Any, **options: Any) -> Tensor:
        with Watch():
            return run_updates(*arguments, **options)

    kernels.run_updates = watched
    try:
        infer(logits, image, settings)
    finally:
        kernels.run_updates = run_updates
    return reads


@pytest.mark.parametrize("mode", [pytest.param("fast", marks=pytest.mark.nightly), "exact"])
def test_nothing_is_read_back_between_updates(on_device, mode):
    logits, image = one_scene(3, (5, 7))
    settings = STANDARD | {"mode": mode, "compatibility": 1 - torch.eye(3)}

    assert on_device(reads_between_updates, logits, image, settings) == []
    # With a tolerance each change is: the watch would see it.
    settings["tolerance"] = 1e-9
    assert len(on_device(reads_between_updates, logits, image, settings)) == 2
