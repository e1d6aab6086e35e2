"""The compiled dense CRF against the filters in plain torch, for every instruction set."""

import itertools
import math
from typing import Any

import pytest
import torch

from autoseg._native import core
from autoseg.crf.gaussian import GaussianFilter
from autoseg.crf.linear import NORMALISATIONS, Normalised
from autoseg.crf.mean_field import mean_field
from autoseg.crf.permutohedral import PermutohedralFilter
from autoseg.crf.pixels import pixel_colours, pixel_positions
from tests.crf.large_logits import CASES, IDS, OFFSETS, shifted
from tests.crf.reference import HalvedGaussian, for_kernels

if core() is None:
    pytest.skip("the compiled kernels are missing", allow_module_level=True)

from autoseg.crf import native
from autoseg.crf.native import NativePermutohedralFilter

MODULE: Any = core()
ISAS = MODULE.present_isas()
TOLERANCE = 2e-5  # of a marginal: float32 rounding through a few updates


def native_marginals(logits, image, *, isa="", **settings):
    """The compiled kernels, with the settings that `reference` takes."""
    terms, options = for_kernels(logits, **settings)
    return native.native_marginals(logits, image, terms, **options, isa=isa)


def bilateral_features(image, xy_std, rgb_std):
    positions = pixel_positions(image).double() / xy_std
    return torch.cat([positions, pixel_colours(image).double() / rgb_std], dim=1)


def terms_of(image, *, bilateral, spatial, dtype, mode="fast", normalisation="symmetric"):
    """Weights and normalised filters, in plain torch."""
    height, width = image.shape[1:]
    ones = torch.ones(height * width, 1, dtype=dtype)
    terms = []
    for weight, xy_std, rgb_std in bilateral:
        features = bilateral_features(image, xy_std, rgb_std)
        kernel = PermutohedralFilter(features, dtype=dtype, closed=mode == "accurate")
        terms.append((weight, kernel))
    for weight, std in spatial:
        if std >= 2:
            kernel = HalvedGaussian(height, width, std)
        else:
            device = torch.device("cpu")
            kernel = GaussianFilter(height, width, std=std, dtype=dtype, device=device)
        terms.append((weight, kernel))
    return [
        (torch.as_tensor(weight).to(dtype), Normalised(kernel, ones, normalisation))
        for weight, kernel in terms
    ]


def reference(logits, image, *, bilateral, spatial, mode="fast", normalisation="symmetric", **rest):
    """The same in float64 and plain torch."""
    terms = terms_of(
        image,
        bilateral=bilateral,
        spatial=spatial,
        dtype=torch.float64,
        mode=mode,
        normalisation=normalisation,
    )
    if rest.get("compatibility") is not None:
        rest["compatibility"] = rest["compatibility"].double()
    return mean_field(logits.double().flatten(1), terms, **rest).view_as(logits)


def random_case(num_classes, height, width, *, seed=0, scale=2.0):
    """Smooth colours with noise, so that pixels share simplices, and random logits."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.stack([40 * (x / 7).sin(), 50 * (y / 5).cos(), 3.0 * (x + y)])
    image = 120 + waves + 9 * torch.randn(3, height, width, generator=generator)
    logits = scale * torch.randn(num_classes, height, width, generator=generator)
    return logits, image.clamp(0, 255).round()


def check(logits, image, *, isa, **settings):
    got = native_marginals(logits, image, isa=isa, **settings)
    expected = reference(logits, image, **settings)
    assert got.shape == logits.shape
    assert (got - expected).abs().max() < TOLERANCE
    assert torch.allclose(got.sum(0), torch.ones_like(got[0]), atol=1e-5)
    return got


def several_kernels(normalisation, *, num_iterations):
    """Settings with four kernels and class weights for six classes, and a compatibility."""
    generator = torch.Generator().manual_seed(1)
    mu = torch.rand(6, 6, generator=generator)
    small = 0.05 if normalisation == "none" else 1.0  # unnormalised messages are large
    settings = {
        "bilateral": [
            (small * torch.rand(6, generator=generator), 8.0, 20.0),
            (0.5 * small, 3.0, 40.0),
        ],
        "spatial": [(small * torch.rand(6, generator=generator), 2.5), (0.7 * small, 1.3)],
        "num_iterations": num_iterations,
        "normalisation": normalisation,
    }
    return settings, mu + mu.t()


README = {"bilateral": [(5.0, 20.0, 13.0)], "spatial": [(3.0, 3.0)], "num_iterations": 3}
DEEPLAB = {"bilateral": [(4.0, 17.0, 5.0)], "spatial": [(3.0, 1.0)], "num_iterations": 3}


@pytest.mark.parametrize("isa", ISAS)
def test_powers_of_two_are_accurate(isa):
    x = -torch.cat([torch.linspace(0, 126, 100_001), torch.logspace(-30, 0, 1001)])
    result = torch.empty_like(x)
    MODULE.crf_exp2(x.data_ptr(), len(x), result.data_ptr(), isa)
    exact = x.double().exp2()
    assert ((result - exact) / exact).abs().max() < 2.4e-7
    ends = torch.tensor([0.0, -0.0, -126.5, -1e4, -math.inf])
    result = torch.empty_like(ends)
    MODULE.crf_exp2(ends.data_ptr(), len(ends), result.data_ptr(), isa)
    assert result.tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("isa", ISAS)
def test_sixths_are_rounded_like_divisions(isa):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(200_000, generator=generator, dtype=torch.float64)
    numbers *= 2.0 ** torch.randint(-60, 47, numbers.shape, generator=generator)
    halves = torch.arange(-100_000, 100_000, dtype=torch.float64) / 2  # ties, and next to them
    beside = [torch.nextafter(halves, torch.tensor(end).double()) for end in (-math.inf, math.inf)]
    x = torch.cat([numbers, halves, *beside])
    result = torch.empty_like(x)
    MODULE.crf_sixth(x.data_ptr(), len(x), result.data_ptr(), isa)
    assert torch.equal(result, x / 6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (4, 2, 3), (6, 8, 40), (3, 7, 39)])
def test_scores_that_are_not_finite_are_refused(isa, value, place):
    # Subsampled everywhere in all updates but the last; 41 columns and a row without a partner.
    image = torch.zeros(3, 9, 41, dtype=torch.uint8)
    scores = torch.zeros(7, 9, 41)
    scores[1] = 5
    settings = README | {"subsample_above": 0.0, "isa": isa}
    native_marginals(scores, image, **settings)
    scores[place] = value
    with pytest.raises(FloatingPointError, match="a log probability is not finite"):
        native_marginals(scores, image, **settings)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("settings", [README, DEEPLAB], ids=["readme", "deeplab"])
@pytest.mark.parametrize("size", [(5, 23, 37), (19, 16, 33), (2, 9, 70)])
def test_marginals_are_those_of_the_filters(isa, mode, settings, size):
    check(*random_case(*size), isa=isa, mode=mode, **settings)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("normalisation", ["symmetric", "before", "after", "none"])
def test_several_kernels_class_weights_and_compatibility(isa, normalisation):
    logits, image = random_case(6, 15, 21)
    settings, mu = several_kernels(normalisation, num_iterations=2)
    check(logits, image, isa=isa, **settings)
    check(logits, image, isa=isa, compatibility=mu, **settings)
    for absent in ("bilateral", "spatial"):
        check(logits, image, isa=isa, **{**settings, absent: []})


@pytest.mark.parametrize("isa", ISAS)
def test_inference_stops_by_change(isa):
    # Weak messages: the updates contract, so that each change is smaller than the one before.
    logits, image = random_case(4, 12, 19)
    weak = {"bilateral": [(1.0, 20.0, 13.0)], "spatial": [(0.5, 3.0)]}
    steps = [reference(logits, image, num_iterations=n, **weak) for n in range(6)]
    changes = [(b - a).abs().max().item() for a, b in itertools.pairwise(steps)]
    tolerance = (changes[2] * changes[3]) ** 0.5  # passed by the fourth update
    assert changes[3] < 0.8 * tolerance < tolerance < 0.8 * min(changes[:3])
    settings = {**weak, "num_iterations": 30}
    got = native_marginals(logits, image, isa=isa, tolerance=tolerance, **settings)
    assert (got - steps[4]).abs().max() < TOLERANCE
    check(logits, image, isa=isa, **{**README, "num_iterations": 0})


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("size", [(3, 1, 1), (4, 1, 40), (4, 40, 1), (150, 4, 5), (17, 3, 2)])
def test_odd_sizes(isa, size):
    logits, image = random_case(*size)
    check(logits, image, isa=isa, **README)
    check(logits, image, isa=isa, **DEEPLAB)


# Up to two vectors of labels go together, and half of one may be left: of 2, 4 and 8 lanes.
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("num_classes", [5, 8, 9, 12, 13, 16, 21, 25, 32, 33, 41, 57])
def test_numbers_of_labels(isa, num_classes):
    logits, image = random_case(num_classes, 6, 19)
    check(logits, image, isa=isa, **README)
    check(logits, image, isa=isa, **README | {"normalisation": "before"})


@pytest.mark.parametrize("isa", ISAS)
def test_extreme_values(isa):
    logits, image = random_case(3, 13, 18)
    check(logits, torch.full_like(image, 77.0), isa=isa, **README)
    huge = {"bilateral": [(5.0, 1e4, 1e4)], "spatial": [(3.0, 1e4)], "num_iterations": 2}
    check(logits, image, isa=isa, **huge)
    large = 1e4 * logits.sign()
    got = native_marginals(large, image, isa=isa, **README)
    assert got.isfinite().all()
    assert torch.allclose(got.sum(0), torch.ones_like(got[0]), atol=1e-5)
    sure = torch.full_like(logits, -1e4)
    sure[1] = 1e4
    assert native_marginals(sure, image, isa=isa, **README)[1].min() == 1


@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("settings", [README, DEEPLAB], ids=["readme", "deeplab"])
def test_threads_change_nothing_but_rounding(mode, settings):
    logits, image = random_case(5, 31, 45)
    before = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append(native_marginals(logits, image, mode=mode, **settings))
            again = native_marginals(logits, image, mode=mode, **settings)
            assert torch.equal(results[-1], again)
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert (result - results[0]).abs().max() < TOLERANCE


@pytest.mark.parametrize("size", [(3, 1, 20), (3, 4, 20), (3, 7, 1)])
def test_more_threads_than_pairs_of_rows(size):
    logits, image = random_case(*size)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(7)
        check(logits, image, isa="", **README)
        check(logits, image.to(torch.uint8), isa="", **DEEPLAB)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("std", [2.0, 3.0, 8.0])
def test_the_halved_kernel_is_near_the_gaussian(std):
    distance = torch.arange(61.0, dtype=torch.float64)[:, None] - torch.arange(61)
    exact, halved = torch.exp(-(distance**2) / (2 * std**2)), HalvedGaussian.matrix(61, std)
    # The two interpolations have the variance of a Gaussian, not its higher moments.
    gap = (exact - halved).abs().sum(1) / exact.sum(1)
    assert gap.max() < 0.4 / std**2


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("channels", [1, 7, 21])
def test_the_lattice_alone_and_its_adjoint(isa, closed, channels):
    _, image = random_case(2, 11, 19)
    features = bilateral_features(image, 8.0, 20.0)
    generator = torch.Generator().manual_seed(2)
    values = torch.rand(len(features), channels, generator=generator)
    expected = PermutohedralFilter(features, dtype=torch.float64, closed=closed)
    got = NativePermutohedralFilter(features, closed, torch.float32, isa=isa)
    for name in ("product", "adjoint_product"):
        result = getattr(expected, name)(values.double())
        assert torch.allclose(getattr(got, name)(values).double(), result, rtol=1e-5)


def test_what_there_is_no_kernel_for_is_said():
    logits, image = random_case(3, 5, 6)
    with pytest.raises(NotImplementedError, match="does not fit into 63 bits"):
        native_marginals(logits, image, bilateral=[(1.0, 1e-5, 1e-5)], spatial=[], num_iterations=1)
    with pytest.raises(NotImplementedError, match=r"torch.float64 and features of shape \(30, 5\)"):
        NativePermutohedralFilter(
            bilateral_features(image, 1.0, 1.0), closed=False, dtype=torch.float64
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mode": "exact"}, "mode 'exact' is neither"),
        ({"image": torch.zeros(3, 6, 5)}, r"image is torch.float32, \(3, 6, 5\), on cpu"),
        ({"image": torch.zeros(3, 5, 6).double()}, "image is torch.float64"),
        ({"image": torch.zeros(3, 6, 5).transpose(1, 2)}, "cpu, not contiguous; it has to be"),
        ({"compatibility": torch.zeros(2, 2)}, r"compatibility is torch.float32, \(2, 2\)"),
    ],
)
def test_wrong_arguments_are_refused(changed, message):
    logits, image = random_case(3, 5, 6)
    arguments = {"logits": logits, "image": image, **README, **changed}
    with pytest.raises(ValueError, match=message):
        native_marginals(**arguments)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("draw", "number"), CASES, ids=IDS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compatibility": 1 - torch.eye(4)},
        {"tolerance": 1e-9},  # the updates read the caller's scores each time
        {"num_iterations": 0},
        {"spatial": []},
    ],
    ids=["potts", "matrix", "tolerance", "softmax", "bilateral"],
)
def test_large_scores_lose_nothing(isa, draw, number, changes):
    scores, logits, images = draw(number, (9, 19))
    settings = README | changes
    got = native_marginals(logits[0], images[0], isa=isa, **settings)
    expected = reference(scores[0], images[0], **settings)
    assert (got - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("offset", OFFSETS)
def test_large_scores_lose_nothing_where_every_other_pixel_is_computed(isa, offset):
    scores, logits, images = shifted(offset, (9, 40))
    scores, logits = scores[0].float(), logits[0]
    for given in (scores, logits):
        given[0] += 256.0 if offset == 1e8 else 4.0  # a label that leads
    everything = native_marginals(logits, images[0], **README, isa=isa)
    settings = README | {"subsample_above": 0.0, "isa": isa}
    small = native_marginals(scores, images[0], **settings)
    assert (native_marginals(logits, images[0], **settings) - small).abs().max() < TOLERANCE
    if offset < 1e8:  # there all is certain
        assert (small - everything).abs().max() > TOLERANCE


def test_the_kernels_and_the_settings_know_the_same_normalisations():
    assert sorted(core().normalisations) == sorted(NORMALISATIONS)
