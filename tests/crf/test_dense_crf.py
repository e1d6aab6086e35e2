"""The CRF against O(pixels squared) loops, its modes against each other, and its invariants."""

import itertools
import math
import re
from typing import Any

import pytest
import torch

from autoseg.crf import BilateralKernel, DenseCRF, SpatialKernel
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, marginals_by_loops, scene, settings_with

MODES = ("fast", "accurate", "exact", "local")
LATTICE_MODES = ("fast", "accurate")


@pytest.mark.parametrize(
    ("num_classes", "size", "changes"),
    [
        (2, (5, 8), {}),
        (3, (7, 4), {"num_iterations": 5, "bilateral_rgb_std": 13.0}),
        (4, (1, 9), {"bilateral_xy_std": 80.0, "bilateral_weight": 10.0}),
        (5, (6, 5), {"spatial_weight": 0.0, "num_iterations": 1}),
        (3, (4, 6), {"bilateral_weight": 0.0, "spatial_xy_std": 3.0}),
        (3, (4, 5), {"normalisation": "before"}),
        (3, (4, 5), {"normalisation": "after"}),
        (3, (4, 5), {"normalisation": "none", "bilateral_weight": 0.25, "spatial_weight": 0.5}),
        (3, (4, 5), {"bilateral_weight": [0.5, 3.0, 1.0], "spatial_weight": [2.0, 0.0, 1.0]}),
        (3, (4, 5), {"compatibility": [[0.0, 1.5, 0.25], [1.0, -0.5, 0.0], [0.5, 0.125, 0.25]]}),
        (
            3,
            (5, 4),
            {
                "additional_kernels": [
                    SpatialKernel(weight=[1.0, 0.25, 2.0], xy_std=2.5),
                    BilateralKernel(weight=0.75, xy_std=9.0, rgb_std=20.0),
                ],
                "compatibility": [[0.0, 1.0, 2.0], [1.0, 0.0, 0.5], [2.0, 0.5, 0.0]],
                "bilateral_weight": [0.5, 3.0, 1.0],
            },
        ),
    ],
)
def test_exact_equals_plain_loops(num_classes, size, changes):
    settings: dict[str, Any] = SETTINGS | changes
    logits, image = scene(num_classes, size)

    marginals = DenseCRF(**settings, mode="exact").double()(logits, image)[0]

    expected = marginals_by_loops(logits[0], image[0], settings)
    # float64 against float64, other orders of summation.
    torch.testing.assert_close(marginals, expected, rtol=0, atol=1e-10)
    assert (expected - logits[0].softmax(dim=0)).abs().max() > 0.05  # there was something to do


@pytest.mark.parametrize("changes", [{}, {"bilateral_xy_std": 40.0, "spatial_xy_std": 6.0}])
def test_local_equals_plain_loops_over_a_window(changes):
    settings: dict[str, Any] = SETTINGS | changes
    logits, image = scene(3, (8, 9))  # wider than the 6 pixels from the centre of 11 x 11

    marginals = DenseCRF(**settings, mode="local").double()(logits, image)[0]

    expected = marginals_by_loops(logits[0], image[0], settings, radius=5)
    torch.testing.assert_close(marginals, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_the_potts_matrix_as_compatibility_changes_nothing(mode):
    logits, image = scene(4, (9, 7))
    potts = 1 - torch.eye(4)

    with_matrix = DenseCRF(**SETTINGS, compatibility=potts, mode=mode).double()(logits, image)

    without = DenseCRF(**SETTINGS, mode=mode).double()(logits, image)
    torch.testing.assert_close(with_matrix, without, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_a_kernel_given_twice_counts_twice(mode):
    logits, image = scene(3, (9, 7))
    bilateral = BilateralKernel(weight=0.5, xy_std=4.0, rgb_std=40.0)
    spatial = SpatialKernel(weight=[0.5, 1.0, 1.5], xy_std=1.2)

    apart = DenseCRF(**SETTINGS, additional_kernels=[spatial, bilateral], mode=mode)

    sums: dict[str, Any] = {"bilateral_weight": 3.0, "spatial_weight": [2.0, 2.5, 3.0]}
    together = DenseCRF(**SETTINGS | sums, mode=mode)
    torch.testing.assert_close(
        apart.double()(logits, image), together.double()(logits, image), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("mode", MODES)
def test_tolerance_stops_at_the_first_small_change(mode):
    logits, image = scene(3, (9, 7))
    steps = [
        DenseCRF(**settings_with(num_iterations=n), mode=mode)(logits, image) for n in range(12)
    ]
    changes = [(b - a).abs().max().item() for a, b in itertools.pairwise(steps)]
    tolerance = math.sqrt(changes[3] * changes[4])  # changes[4], of update 5, is the first below
    assert min(changes[:4]) > tolerance > changes[4]

    stopped = DenseCRF(**settings_with(num_iterations=11), tolerance=tolerance, mode=mode)

    torch.testing.assert_close(stopped(logits, image), steps[5], rtol=0, atol=0)


def test_tolerance_with_a_compatibility_stops_where_the_loops_would():
    logits, image = scene(3, (4, 5))
    settings: dict[str, Any] = SETTINGS | {
        "bilateral_weight": [0.5, 1.5, 1.0],
        "compatibility": [[0.0, 1.5, 0.25], [1.0, -0.5, 0.0], [0.5, 0.125, 0.25]],
    }
    steps = [
        marginals_by_loops(logits[0], image[0], settings | {"num_iterations": n}) for n in range(7)
    ]
    changes = [(b - a).abs().max().item() for a, b in itertools.pairwise(steps)]
    tolerance = math.sqrt(changes[2] * changes[3])  # changes[3], of update 4, is the first below
    assert min(changes[:3]) > 1.1 * tolerance > 1.21 * changes[3]
    settings |= {"num_iterations": 30, "tolerance": tolerance}

    marginals = DenseCRF(**settings, mode="exact").double()(logits, image)

    torch.testing.assert_close(marginals[0], steps[4], rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [0, 5])
def test_float32_agrees_with_float64(mode, seed):
    logits, image = scene(3, (12, 17), seed)
    # A wide colour kernel: many pixels lie near the border of two simplices of the lattice.
    settings: dict[str, Any] = SETTINGS | {"bilateral_rgb_std": 80.0}
    # One back end: on ties between simplices the compiled one may round the other way.
    crf = DenseCRF(**settings, mode=mode, backend="torch")

    single = crf(logits.float(), image)

    assert single.dtype == torch.float32
    # Three updates that each pass on the float32 rounding of messages of a few units.
    torch.testing.assert_close(single.double(), crf.double()(logits, image), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("seed", "changes"),
    [
        (0, {}),
        (1, {"bilateral_xy_std": 67.0, "bilateral_rgb_std": 10.0, "num_iterations": 5}),
        (2, {"bilateral_xy_std": 30.0, "bilateral_rgb_std": 13.0, "num_iterations": 10}),
        (3, {"spatial_weight": 0.0}),
        (4, {"spatial_weight": 0.0, "bilateral_rgb_std": 15.0, "bilateral_xy_std": 15.0}),
    ],
)
def test_fast_is_close_to_exact(seed, changes):
    logits, image = scene(4, (42, 57), seed)
    fast, exact = (
        DenseCRF(**SETTINGS | changes, mode=mode).double()(logits, image).detach()
        for mode in ("fast", "exact")
    )

    error = (fast - exact).abs().mean()
    change = (exact - logits.softmax(dim=1)).abs().mean()
    disagreement = (fast.argmax(dim=1) != exact.argmax(dim=1)).double().mean()
    # A lattice approximates the kernel to about a tenth, of which the normalisation takes most.
    # On these images the error is 0.0006 to 0.0021, 1 / 170 to 1 / 40 of what the CRF changes,
    # and 0.04 to 0.3 % of the labels differ; the bounds are twice the worst. No bound on the
    # largest error: a pixel between two labels may flip.
    assert error < 4e-3
    assert error < change / 20
    assert disagreement < 6e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"bilateral_xy_std": 67.0, "bilateral_rgb_std": 10.0, "num_iterations": 5},
        {"bilateral_xy_std": 30.0, "bilateral_rgb_std": 13.0, "num_iterations": 10},
        {"spatial_weight": 0.0, "bilateral_rgb_std": 15.0, "bilateral_xy_std": 15.0},
    ],
)
def test_accurate_is_closer_to_exact_than_fast(changes):
    errors = {"fast": 0.0, "accurate": 0.0}
    for seed in range(3):
        logits, image = scene(4, (42, 57), seed)
        exact = DenseCRF(**SETTINGS | changes, mode="exact").double()(logits, image)
        for mode in errors:
            marginals = DenseCRF(**SETTINGS | changes, mode=mode).double()(logits, image)
            errors[mode] += (marginals - exact).abs().mean().item()

    # 0.55 to 0.63 here; on photographs, whose colours are smoother, less than half.
    assert errors["accurate"] < 0.75 * errors["fast"]


@pytest.mark.parametrize("spatial_xy_std", [0.5, 1.0, 3.0])
def test_fast_spatial_term_is_exact_but_for_its_tail(spatial_xy_std):
    logits, image = scene(3, (23, 34))
    settings: dict[str, Any] = SETTINGS | {
        "bilateral_weight": 0.0,
        "spatial_xy_std": spatial_xy_std,
    }

    fast, exact = (
        DenseCRF(**settings, mode=mode).double()(logits, image) for mode in ("fast", "exact")
    )

    # 6e-7 of the kernel's mass is cut off at 5 deviations; three updates with weight 1.5.
    torch.testing.assert_close(fast, exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "changes", [{"bilateral_weight": 0.0, "spatial_weight": 0.0}, {"num_iterations": 0}]
)
def test_without_messages_the_result_is_the_softmax(mode, changes):
    logits, image = scene(4, (6, 9))

    marginals = DenseCRF(**SETTINGS | changes, mode=mode)(logits, image)

    torch.testing.assert_close(marginals, logits.softmax(dim=1))


@pytest.mark.parametrize("mode", MODES)
def test_marginals_are_a_distribution(mode):
    logits, image = scene(5, (8, 11))

    marginals = DenseCRF(**SETTINGS, mode=mode)(10 * logits, image)

    assert marginals.min() >= 0
    torch.testing.assert_close(marginals.sum(dim=1), torch.ones(1, 8, 11, dtype=torch.float64))


@pytest.mark.parametrize("mode", MODES)
def test_the_order_of_the_classes_does_not_matter(mode):
    logits, image = scene(5, (8, 11))
    crf = DenseCRF(**SETTINGS, mode=mode)
    order = [3, 0, 4, 2, 1]

    torch.testing.assert_close(crf(logits[:, order], image), crf(logits, image)[:, order])


@pytest.mark.parametrize("mode", MODES)
def test_a_constant_added_to_the_logits_of_a_pixel_changes_nothing(mode):
    logits, image = scene(3, (8, 11))
    crf = DenseCRF(**SETTINGS, mode=mode)
    # Both sums are exact in float32, where a message added to a score of a million is not.
    logits = (8 * logits).round().float() / 8
    constant = 2**20 * torch.randint(-1, 2, (1, 1, 8, 11))

    torch.testing.assert_close(crf(logits + constant, image), crf(logits, image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_splitting_a_batch_changes_nothing(mode):
    scenes = [scene(3, (7, 10), seed) for seed in range(3)]
    logits, images = (torch.cat(parts) for parts in zip(*scenes, strict=True))
    crf = DenseCRF(**SETTINGS, mode=mode)

    together = crf(logits, images)

    apart = torch.cat([crf(*one) for one in scenes])
    torch.testing.assert_close(together, apart, rtol=0, atol=0)
    assert (apart[0] - apart[1]).abs().max() > 0.1


@pytest.mark.parametrize("dims", [(2,), (3,), (2, 3)])
def test_flipping_the_image_flips_the_exact_result(dims):
    logits, image = scene(3, (8, 11))
    crf = DenseCRF(**SETTINGS, mode="exact")

    torch.testing.assert_close(
        crf(logits.flip(dims), image.flip(dims)), crf(logits, image).flip(dims)
    )


def test_only_the_weights_are_saved_and_learnt():
    crf = DenseCRF(**SETTINGS)

    assert set(crf.state_dict()) == {name for name, _ in crf.named_parameters()}
    assert {name: value.item() for name, value in crf.named_parameters()} == {
        "bilateral_weight": 2.5,
        "spatial_weight": 1.5,
    }


def test_weights_per_class_and_compatibility_are_saved_and_learnt():
    kernel = SpatialKernel(weight=[4.0, 5.0], xy_std=2.0)
    mu = torch.tensor([[0.0, 3.0], [1.0, 0.0]])
    settings: dict[str, Any] = SETTINGS | {"bilateral_weight": [1.0, 2.0]}

    crf = DenseCRF(**settings, additional_kernels=[kernel], compatibility=mu)

    assert set(crf.state_dict()) == {name for name, _ in crf.named_parameters()}
    assert {name: value.tolist() for name, value in crf.named_parameters()} == {
        "bilateral_weight": [1.0, 2.0],
        "spatial_weight": 1.5,
        "additional_weights.0": [4.0, 5.0],
        "compatibility": [[0.0, 3.0], [1.0, 0.0]],
    }
    mu.zero_()
    assert crf.compatibility is not None
    assert crf.compatibility[0, 1] == 3  # the caller's matrix stays the caller's


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype):
    logits, image = scene(3, (7, 10))
    crf = DenseCRF(**SETTINGS)
    rounded = logits.to(dtype)

    marginals = crf(rounded, image)

    assert marginals.dtype == torch.float32
    torch.testing.assert_close(marginals, crf(rounded.float(), image), rtol=0, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_autocast_does_not_round_the_messages(mode):
    logits, image = scene(3, (7, 10))
    crf = DenseCRF(**SETTINGS, mode=mode)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = crf(logits.float(), image)

    torch.testing.assert_close(under_autocast, crf(logits.float(), image), rtol=0, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", MODES)
def test_a_gpu_gives_the_result_of_the_cpu(mode):
    logits, image = scene(4, (42, 57))
    crf = DenseCRF(**SETTINGS, mode=mode).double()
    on_cpu = crf(logits, image)

    on_gpu = crf.cuda()(logits.cuda(), image.cuda())

    # float64 sums in another order. A feature between two simplices may also fall into the other
    # one, which moves a few pixels of the fast result by up to a hundredth.
    difference = (on_gpu.cpu() - on_cpu).abs()
    assert (difference.mean() if mode == "fast" else difference.max()) < 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bilateral_xy_std": 0.0}, "bilateral_xy_std is 0.0; it must be finite and above 0"),
        ({"bilateral_rgb_std": -3.0}, "bilateral_rgb_std is -3.0; it must be finite and above 0"),
        ({"spatial_xy_std": math.nan}, "spatial_xy_std is nan; it must be finite and above 0"),
        ({"bilateral_weight": -1.0}, "bilateral_weight is -1.0; it must be finite and not neg"),
        ({"spatial_weight": math.inf}, "spatial_weight is inf; it must be finite and not neg"),
        ({"spatial_weight": []}, "spatial_weight is []; it must be finite and not neg"),
        ({"spatial_weight": [1.0, -2.0]}, "spatial_weight is [1.0, -2.0]; it must be finite an"),
        ({"spatial_xy_std": 1e-7}, "spatial_xy_std is 1e-07; below 1e-06 a pixel has no neighbou"),
        ({"subsample_above": -0.1}, "subsample_above is -0.1; it must be finite and at least 0"),
        ({"subsample_above": math.inf}, "subsample_above is inf; it must be finite and at least"),
        ({"tolerance": 0.0}, "tolerance is 0.0; it must be finite and above 0, or None to never"),
        ({"normalisation": "befor"}, "unknown DenseCRF normalisation 'befor'; did you mean 'bef"),
        ({"backend": "triton"}, "unknown DenseCRF backend 'triton'. Known: auto, fused, torch."),
        ({"backend": "fused", "mode": "local"}, "no fused kernels for mode 'local'; use backend"),
        ({"compatibility": [[0.0, 1.0]]}, "compatibility has shape (1, 2); it must be (K, K)"),
        ({"compatibility": torch.full((2, 2), math.nan)}, "compatibility must be finite; it has"),
        (
            {"compatibility": torch.eye(4), "bilateral_weight": [1.0, 2.0, 3.0]},
            "must be for one number of classes; these are for [3, 4]",
        ),
        ({"num_iterations": -1}, "num_iterations is -1; it must not be negative"),
        ({"mode": "exakt"}, "unknown DenseCRF mode 'exakt'; did you mean 'exact'? Known: accu"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        DenseCRF(**SETTINGS | changes)
