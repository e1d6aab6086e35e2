"""The CRF against O(pixels squared) loops, its two modes against each other, and its invariants."""

import math
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.crf import DenseCRF
from autoseg.errors import UsageError

SETTINGS: dict[str, Any] = {
    "bilateral_weight": 2.5,
    "bilateral_xy_std": 4.0,
    "bilateral_rgb_std": 40.0,
    "spatial_weight": 1.5,
    "spatial_xy_std": 1.2,
    "num_iterations": 3,
}
MODES = ("fast", "exact")


def smooth_noise(num_channels: int, size: tuple[int, int], scale: int, seed: int) -> Tensor:
    """Normal noise at 1 / scale of the size, resized: (num_channels, *size), float64."""
    generator = torch.Generator().manual_seed(seed)
    coarse_size = [max(2, length // scale + 1) for length in size]
    coarse = torch.randn(1, num_channels, *coarse_size, dtype=torch.float64, generator=generator)
    return F.interpolate(coarse, size=size, mode="bicubic")[0]


def scene(num_classes: int, size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw regions of colour with texture, and logits that find them only roughly.

    Returns:
        Logits, float64, (1, K, H, W), and image, uint8, (1, 3, H, W).
    """
    generator = torch.Generator().manual_seed(seed)
    labels = smooth_noise(num_classes, size, 8, seed).argmax(dim=0)
    colours = torch.rand(num_classes, 3, generator=generator, dtype=torch.float64) * 255
    image = colours[labels].permute(2, 0, 1) + 12 * smooth_noise(3, size, 2, seed + 1)
    one_hot = F.one_hot(labels, num_classes).permute(2, 0, 1)[None].double()
    blurred = F.avg_pool2d(one_hot, 5, stride=1, padding=2, count_include_pad=False)
    logits = 4 * blurred + smooth_noise(num_classes, size, 2, seed + 2)
    return logits, image.clamp(0, 255).to(torch.uint8)[None]


def marginals_by_loops(logits: Tensor, image: Tensor, settings: dict[str, Any]) -> Tensor:
    """Mean field by the equations, one pair of pixels at a time; logits (K, H, W)."""
    num_classes, height, width = logits.shape
    sites = [(y, x) for y in range(height) for x in range(width)]
    colour = {(y, x): image[:, y, x].tolist() for y, x in sites}
    kernels = []
    for xy_std, rgb_std in (
        (settings["bilateral_xy_std"], settings["bilateral_rgb_std"]),
        (settings["spatial_xy_std"], math.inf),
    ):
        kernel = {}
        for a in sites:
            for b in sites:
                xy = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
                rgb = sum((s - t) ** 2 for s, t in zip(colour[a], colour[b], strict=True))
                kernel[a, b] = math.exp(-xy / (2 * xy_std**2) - rgb / (2 * rgb_std**2))
        degree = {a: sum(kernel[a, b] for b in sites) for a in sites}
        kernels.append(
            {(a, b): kernel[a, b] / math.sqrt(degree[a] * degree[b]) for a in sites for b in sites}
        )
    weights = (settings["bilateral_weight"], settings["spatial_weight"])

    def softmax(scores: list[float]) -> list[float]:
        exponentials = [math.exp(score) for score in scores]
        return [e / sum(exponentials) for e in exponentials]

    unary = {(y, x): [-math.log(p) for p in softmax(logits[:, y, x].tolist())] for y, x in sites}
    q = {a: softmax([-u for u in unary[a]]) for a in sites}
    for _ in range(settings["num_iterations"]):
        updated = {}
        for a in sites:
            scores = [-u for u in unary[a]]
            for weight, kernel in zip(weights, kernels, strict=True):
                message = [sum(kernel[a, b] * q[b][k] for b in sites) for k in range(num_classes)]
                for k in range(num_classes):  # Potts: the messages of all other labels count
                    scores[k] -= weight * (sum(message) - message[k])
            updated[a] = softmax(scores)
        q = updated
    flat = torch.tensor([q[a] for a in sites], dtype=torch.float64)
    return flat.t().reshape(num_classes, height, width)


@pytest.mark.parametrize(
    ("num_classes", "size", "changes"),
    [
        (2, (5, 8), {}),
        (3, (7, 4), {"num_iterations": 5, "bilateral_rgb_std": 13.0}),
        (4, (1, 9), {"bilateral_xy_std": 80.0, "bilateral_weight": 10.0}),
        (5, (6, 5), {"spatial_weight": 0.0, "num_iterations": 1}),
        (3, (4, 6), {"bilateral_weight": 0.0, "spatial_xy_std": 3.0}),
    ],
)
def test_exact_equals_plain_loops(num_classes, size, changes):
    settings = SETTINGS | changes
    logits, image = scene(num_classes, size)

    marginals = DenseCRF(**settings, mode="exact").double()(logits, image)[0]

    expected = marginals_by_loops(logits[0], image[0], settings)
    # float64 against float64, other orders of summation.
    torch.testing.assert_close(marginals, expected, rtol=0, atol=1e-10)
    assert (expected - logits[0].softmax(dim=0)).abs().max() > 0.05  # there was something to do


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [0, 5])
def test_float32_agrees_with_float64(mode, seed):
    logits, image = scene(3, (12, 17), seed)
    # A wide colour kernel: many pixels lie near the border of two simplices of the lattice.
    settings: dict[str, Any] = SETTINGS | {"bilateral_rgb_std": 80.0}
    crf = DenseCRF(**settings, mode=mode)

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
        DenseCRF(**SETTINGS | changes, mode=mode).double()(logits, image).detach() for mode in MODES
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


@pytest.mark.parametrize("spatial_xy_std", [0.5, 1.0, 3.0])
def test_fast_spatial_term_is_exact_but_for_its_tail(spatial_xy_std):
    logits, image = scene(3, (23, 34))
    settings = SETTINGS | {"bilateral_weight": 0.0, "spatial_xy_std": spatial_xy_std}

    fast, exact = (DenseCRF(**settings, mode=mode).double()(logits, image) for mode in MODES)

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


@pytest.mark.parametrize("mode", MODES)
def test_gradients_match_finite_differences(mode):
    logits, image = scene(3, (3, 4))
    crf = DenseCRF(**SETTINGS | {"num_iterations": 2}, mode=mode)
    weights = [
        torch.tensor(weight, dtype=torch.float64, requires_grad=True) for weight in (2.5, 1.5)
    ]

    def marginals(logits: Tensor, bilateral_weight: Tensor, spatial_weight: Tensor) -> Tensor:
        parameters = {"bilateral_weight": bilateral_weight, "spatial_weight": spatial_weight}
        return torch.func.functional_call(crf, parameters, (logits, image))

    assert torch.autograd.gradcheck(marginals, (logits.requires_grad_(), *weights))


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_of_a_batch_reaches_logits_and_weights(mode):
    # float32, N = 2: what training does; the reference is a difference quotient in float64.
    scenes = [scene(3, (6, 7), seed) for seed in (4, 5)]
    logits, images = (torch.cat(parts) for parts in zip(*scenes, strict=True))
    target = logits.argmax(dim=1).flip(2)
    crf = DenseCRF(**SETTINGS, mode=mode)

    def loss(crf: DenseCRF, logits: Tensor) -> Tensor:
        return F.nll_loss(crf(logits, images).clamp_min(1e-12).log(), target)

    single = logits.float().requires_grad_()
    loss(crf, single).backward()

    assert single.grad is not None
    direction = torch.sign(single.grad).double()
    crf = crf.double()
    step = 1e-5
    for parameter in crf.parameters():
        quotient = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step
                quotient.append(loss(crf, logits).item())
                parameter -= sign * step
        expected = (quotient[0] - quotient[1]) / (2 * step)
        assert parameter.grad is not None
        assert parameter.grad.item() == pytest.approx(expected, rel=1e-3)  # float32 gradient
    with torch.no_grad():
        ahead, behind = (loss(crf, logits + sign * step * direction) for sign in (1, -1))
    expected = ((ahead - behind) / (2 * step)).item()
    assert single.grad.abs().sum().item() == pytest.approx(expected, rel=1e-3)


def test_only_the_weights_are_saved_and_learnt():
    crf = DenseCRF(**SETTINGS)

    assert set(crf.state_dict()) == {name for name, _ in crf.named_parameters()}
    assert {name: value.item() for name, value in crf.named_parameters()} == {
        "bilateral_weight": 2.5,
        "spatial_weight": 1.5,
    }


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
        ({"num_iterations": -1}, "num_iterations is -1; it must not be negative"),
        ({"mode": "exakt"}, "unknown DenseCRF mode 'exakt'; did you mean 'exact'? Known: exact, "),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        DenseCRF(**SETTINGS | changes)


LOGITS = torch.zeros(2, 3, 4, 5)
IMAGES = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("logits", "images", "message"),
    [
        (LOGITS[0], IMAGES, "logits have shape (3, 4, 5); they must be (N, K, H, W), not empty"),
        (LOGITS[:0], IMAGES[:0], "logits have shape (0, 3, 4, 5); they must be (N, K, H, W), not"),
        (LOGITS[:, :1], IMAGES, "logits have shape (2, 1, 4, 5); they must be (N, K, H, W), not"),
        (LOGITS, IMAGES[:1], "they must be (N, 3, H, W) = (2, 3, 4, 5)"),
        (LOGITS[..., :3], IMAGES, "(2, 3, 4, 3) they must be (N, 3, H, W) = (2, 3, 4, 3): resize"),
        (LOGITS, IMAGES.permute(0, 2, 3, 1), "images have shape (2, 4, 5, 3); for logits of"),
        (LOGITS, IMAGES.float(), "torch.float32; they must be uint8 RGB, 0 to 255. To undo a nor"),
        (LOGITS.long(), IMAGES, "logits are torch.int64; they must be floating point scores"),
        (LOGITS - math.inf, IMAGES, "120 of 120 logits are infinite or not a number"),
        (LOGITS.log().sqrt(), IMAGES, "120 of 120 logits are infinite or not a number"),
        (LOGITS.to("meta"), IMAGES, "logits are on meta, images on cpu and the weights on cpu"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(logits, images, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        DenseCRF(**SETTINGS)(logits, images)


def test_the_advice_for_a_normalised_image_gives_the_image_back():
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    mean, std = torch.rand(2, 3, 1, 1) + 0.1
    normalised = (images / 255 - mean) / std
    with pytest.raises(UsageError, match="To undo a normalisation") as caught:
        DenseCRF(**SETTINGS)(LOGITS, normalised)
    advice = str(caught.value).split("normalisation: ")[1].split(" with the")[0]

    restored = eval(advice, {"images": normalised, "std": std, "mean": mean, "torch": torch})

    assert torch.equal(restored, images)
