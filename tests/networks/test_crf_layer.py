"""A network followed by a dense CRF: by hand, by finite differences, and by what it learns."""

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.crf import DenseCRF
from autoseg.errors import UsageError
from autoseg.networks import (
    CRF_RNN,
    NETWORKS,
    NetworkWithCRF,
    TrainingLogits,
    build_network,
    crf_rnn,
    inference_parameters,
)
from autoseg.networks.weightless import weightless

# With a mean of 0.45 and a deviation of 0.21, rounding does not leave black at 0.
MEAN, STD = (0.4, 0.45, 0.35), (0.3, 0.21, 0.27)
NORMALISATION: dict[str, Any] = {"mean": MEAN, "std": STD}


def normalised(pixels: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normalise uint8 images (N, 3, H, W) by MEAN and STD."""
    mean, std = (torch.tensor(values, dtype=dtype).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels.to(dtype) / 255 - mean) / std


def pixels_of(num_images: int, height: int, width: int) -> Tensor:
    """Draw images of a few colours, uint8."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.randint(256, (num_images, 3, height, width), generator=generator)
    return (coarse // 64 * 64 + coarse % 5).to(torch.uint8)


class Unary(nn.Module):
    """A linear classifier of each pixel, with an auxiliary one on request."""

    def __init__(self, num_classes: int, *, has_auxiliary: bool = False) -> None:
        super().__init__()
        self.classify = nn.Conv2d(3, num_classes, 1)
        self.has_auxiliary = has_auxiliary
        if has_auxiliary:
            self.auxiliary = nn.Conv2d(3, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        logits = self.classify(images)
        if self.training and self.has_auxiliary:
            return TrainingLogits(logits, (self.auxiliary(F.avg_pool2d(images, 2)),), (0.4,))
        return logits


class Given(nn.Module):
    """A network that returns the scores it was given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def small(num_classes: int = 3, *, has_auxiliary: bool = False, **settings: Any) -> NetworkWithCRF:
    torch.manual_seed(1)
    unary = Unary(num_classes, has_auxiliary=has_auxiliary)
    chosen: dict[str, Any] = {"bilateral_xy_std": 3.0, "bilateral_rgb_std": 40.0} | settings
    start = replace(CRF_RNN, **chosen)
    return crf_rnn(unary, num_classes=num_classes, **NORMALISATION, settings=start).double()


def test_it_is_the_network_and_then_the_crf_on_the_image_file() -> None:
    pixels = pixels_of(2, 7, 9)
    # Exact, here and below: where a colour lies on a border of the lattice, rounding decides which
    # cells there are, and that moves probabilities by some 1e-5.
    layer = small(mode="exact").eval()
    torch.nn.init.uniform_(layer.crf.bilateral_weight, 0.5, 2.0)
    torch.nn.init.uniform_(layer.crf.get_parameter("compatibility"), 0.0, 1.0)
    with torch.no_grad():
        result = layer(normalised(pixels))
        expected = layer.crf(layer.network(normalised(pixels)), pixels)
    # float64; the colours come back from the normalisation to about 1e-14 of 255.
    torch.testing.assert_close(result.exp(), expected, rtol=0, atol=1e-10)
    assert not torch.allclose(expected, layer.network(normalised(pixels)).softmax(1), atol=0.05)
    with torch.enable_grad():
        again = layer(normalised(pixels))
    torch.testing.assert_close(again, result, rtol=0, atol=1e-10)


@pytest.mark.parametrize("is_training", [True, False])
def test_training_makes_five_updates_and_prediction_ten(is_training: bool) -> None:
    pixels = pixels_of(1, 7, 9)
    layer = small(bilateral_weight=2.0, spatial_weight=1.5, mode="exact")
    # As the evaluation inside a training leaves it: modules switched one by one.
    for module in layer.modules():
        module.training = is_training
    crf = DenseCRF(
        bilateral_weight=2.0,
        bilateral_xy_std=3.0,
        bilateral_rgb_std=40.0,
        spatial_weight=1.5,
        spatial_xy_std=3.0,
        normalisation="after",
        num_iterations=5 if is_training else 10,
        mode="exact",
    )
    with torch.no_grad():
        expected = crf.double()(layer.network(normalised(pixels)), pixels)
        result = layer(normalised(pixels))
    # Its compatibility starts as Potts, so that one weight and no matrix give the same.
    torch.testing.assert_close(result.exp(), expected, rtol=0, atol=1e-10)


def test_auxiliary_logits_pass_through() -> None:
    images = normalised(pixels_of(1, 6, 8))
    layer = small(has_auxiliary=True).train()
    alone = layer.network(images)
    result = layer(images)
    assert isinstance(result, TrainingLogits)
    assert result.weights == (0.4,)
    assert torch.equal(result.auxiliary[0], alone.auxiliary[0])
    assert not torch.allclose(result.logits, alone.logits)


@pytest.mark.parametrize("num_classes", [2, 19])
@pytest.mark.parametrize("name", ["icnet_resnet50", "unet"])
def test_it_adds_two_weights_a_class_and_the_compatibility(name: str, num_classes: int) -> None:
    with weightless():
        network = build_network(name, num_classes=num_classes)
        layer = crf_rnn(network, num_classes=num_classes, **NORMALISATION)
    alone = sum(p.numel() for p in inference_parameters(network))
    added = 2 * num_classes + num_classes**2
    assert sum(p.numel() for p in inference_parameters(layer)) == alone + added
    scalars = NetworkWithCRF(network, DenseCRF(), **NORMALISATION)
    assert sum(p.numel() for p in inference_parameters(scalars)) == alone + 2


def test_gradients_are_finite_differences() -> None:
    # Logits of the network, its weights, kernel weights and compatibility, in one.
    images = normalised(pixels_of(2, 3, 4))
    layer = small(num_iterations=3).train()
    layer.num_training_iterations = 3
    names = [name for name, _ in layer.named_parameters()]
    assert len(names) == 5

    def logits(*parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), images)

    assert torch.autograd.gradcheck(logits, tuple(layer.parameters()))


def test_the_gradient_survives_probabilities_of_zero() -> None:
    # In float32 exp(-200) is 0, and the loss of that class still falls at the rate of 1.
    scores = nn.Conv2d(3, 2, 1)
    layer = NetworkWithCRF(
        scores,
        DenseCRF(bilateral_weight=0.5, spatial_weight=0.5, normalisation="after"),
        **NORMALISATION,
    )
    bias = scores.get_parameter("bias")
    nn.init.zeros_(scores.weight)
    with torch.no_grad():
        bias.copy_(torch.tensor([100.0, -100.0]))
    images = normalised(pixels_of(1, 4, 5), torch.float32)
    target = torch.ones(1, 4, 5, dtype=torch.int64)
    loss = F.cross_entropy(layer(images), target)
    # Rows sum to 1: each kernel says 0.5 * 1 of class 0 and 0.5 * 0 of class 1, and 0.5 + 0.5 is 1.
    assert loss.item() == pytest.approx(201.0, rel=1e-5)
    loss.backward()
    assert bias.grad is not None
    torch.testing.assert_close(bias.grad, torch.tensor([1.0, -1.0]))
    with torch.no_grad():
        assert layer.eval()(images).isfinite().all()


def planted(seed: int, *, follows_image: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Draw noisy scores of two regions, an image, and the truth.

    The image has the regions' colours; or, as a control, one of 125 colours at random for each
    pixel, so that a kernel joins pixels that have nothing to do with each other.
    """
    generator = torch.Generator().manual_seed(seed)
    target = torch.zeros(1, 16, 20, dtype=torch.int64)
    target[:, :, 8:] = 1
    target[:, 10:] = 1 - target[:, 10:]
    # The difference of a pixel's scores is normal with mean +-1 and variance 2, and so exactly the
    # logarithm of the odds: without neighbours that know more, no change of it lowers the loss.
    signs = torch.stack([1.0 - 2 * target, 2.0 * target - 1], dim=1)
    logits = 0.5 * signs + torch.randn(1, 2, 16, 20, generator=generator)
    levels = torch.tensor([10, 65, 120, 175, 230], dtype=torch.uint8)
    colours = torch.cartesian_prod(levels, levels, levels)  # (125, 3)
    shown = target if follows_image else torch.randint(125, target.shape, generator=generator)
    return logits, colours[shown].permute(0, 3, 1, 2), target


@pytest.mark.parametrize("follows_image", [True, False])
def test_the_bilateral_weight_learns_whether_colours_tell_of_classes(follows_image: bool) -> None:
    start = 0.5
    crf = DenseCRF(
        bilateral_weight=start, bilateral_xy_std=50.0, bilateral_rgb_std=15.0, spatial_weight=0.0
    )
    optimizer = torch.optim.SGD([crf.bilateral_weight], lr=2.0)
    losses = []
    for step in range(40):
        logits, pixels, target = planted(step, follows_image=follows_image)
        layer = NetworkWithCRF(Given(logits), crf, **NORMALISATION)
        loss = F.cross_entropy(layer(normalised(pixels, torch.float32)), target)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learnt = crf.bilateral_weight.item()
    if follows_image:
        assert learnt > 2 * start
        assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    else:
        assert learnt < 0.5 * start


def test_network_and_crf_learn_together() -> None:
    # The colours of both classes overlap, so that a pixel alone decides little.
    torch.manual_seed(0)
    target = torch.zeros(2, 12, 14, dtype=torch.int64)
    target[:, :, 6:] = 1
    pixels = (100 + 40 * target[:, None] + 60 * torch.randn(2, 3, 12, 14)).clamp(0, 255)
    images = normalised(pixels.to(torch.uint8), torch.float32)
    losses = {}
    for trains_crf, trains_network in ((False, True), (True, True)):
        layer = small(2, spatial_weight=0.1, bilateral_weight=0.1).float().train()
        layer.crf.requires_grad_(trains_crf)
        layer.network.requires_grad_(trains_network)
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        trained = [p for p in layer.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.3)
        for _ in range(60):
            loss = F.cross_entropy(layer(images), target)
            losses[trains_crf] = loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for name, value in layer.state_dict().items():
            assert torch.equal(value, before[name]) != (trains_crf or not name.startswith("crf."))
    assert losses[True] < 0.6 * losses[False]


def test_negative_weights_are_computed_like_others() -> None:
    pixels = pixels_of(1, 5, 6)
    layer = small(mode="exact").eval()
    with torch.no_grad():
        layer.crf.bilateral_weight.fill_(-1.0)
        layer.crf.get_parameter("compatibility")[0, 1] = -0.5
        result = layer(normalised(pixels))
        again = small(mode="exact").eval()
        again.load_state_dict(layer.state_dict())
        assert torch.equal(again(normalised(pixels)), result)
        torch.testing.assert_close(result.exp().sum(1), torch.ones(1, 5, 6, dtype=torch.float64))
        expected = layer.crf(layer.network(normalised(pixels)), pixels)
    torch.testing.assert_close(result.exp(), expected, rtol=0, atol=1e-10)


def test_colours_are_those_of_the_image_and_never_outside() -> None:
    seen = []

    class Watching(DenseCRF):
        def log_marginals(self, logits: Tensor, images: Tensor, **_: Any) -> Tensor:
            seen.append(images)
            return logits

    layer = NetworkWithCRF(Unary(2), Watching(), **NORMALISATION)
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    for dtype in (torch.float32, torch.float64):
        layer.to(dtype)(normalised(pixels, dtype))
        tolerance = 1e-4 if dtype == torch.float32 else 1e-12  # of 255
        torch.testing.assert_close(seen.pop(), pixels.to(dtype), rtol=0, atol=tolerance)
    layer.float()(normalised(torch.zeros_like(pixels), torch.float32))
    assert not seen.pop().any(), "black stays black, to the last bit"
    layer.float()(torch.full((1, 3, 2, 2), 9.0))
    assert (seen.pop() == 255).all()


def test_progress_reaches_the_network() -> None:
    class Following(Unary):
        progress = math.nan

        def set_training_progress(self, progress: float) -> None:
            self.progress = progress

    network = Following(2)
    NetworkWithCRF(network, DenseCRF(), **NORMALISATION).set_training_progress(0.25)
    assert network.progress == 0.25
    NetworkWithCRF(Unary(2), DenseCRF(), **NORMALISATION).set_training_progress(0.25)


def test_bf16_scores_give_bf16_logits_computed_in_float32() -> None:
    pixels = pixels_of(1, 6, 7)
    layer = small().float().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        result = layer(normalised(pixels, torch.float32))
        scores = layer.network(normalised(pixels, torch.float32))
    with torch.no_grad():
        expected = layer.crf(scores.float(), pixels).log()
    assert result.dtype == scores.dtype == torch.bfloat16
    # bf16 keeps 8 bits of a number: a relative error of 2^-9.
    torch.testing.assert_close(result.float(), expected, rtol=2**-8, atol=1e-3)


# Dynamo's own: it asks the network's logits for a gradient where the CRF breaks the graph.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.slow
def test_compiled_training_has_the_same_gradient() -> None:
    images = normalised(pixels_of(1, 5, 6))
    gradients = []
    for compiles in (False, True):
        layer = small().train()
        run = torch.compile(layer, backend="aot_eager") if compiles else layer
        run(images)[:, 0].sum().backward()
        gradients.append([p.grad for p in layer.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-9)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"mean \(0.4, 0.45\) and std \(0.3, 0.21, 0.27\); each"):
        NetworkWithCRF(Unary(2), DenseCRF(), mean=MEAN[:2], std=STD)
    with pytest.raises(UsageError, match="std must be positive: give those that the images are"):
        NetworkWithCRF(Unary(2), DenseCRF(), mean=MEAN, std=(0.1, 0.0, 0.1))
    with pytest.raises(UsageError, match="num_training_iterations is -1; it must not be negative"):
        NetworkWithCRF(Unary(2), DenseCRF(), num_training_iterations=-1, **NORMALISATION)
    images = torch.zeros(1, 3, 4, 5)
    for mode in (True, False):
        layer = crf_rnn(Unary(3), num_classes=4, **NORMALISATION).train(mode)
        for grad in (True, False):
            message = r"have 3 classes; this CRF's weights .* for 4"
            with torch.set_grad_enabled(grad), pytest.raises(UsageError, match=message):
                layer(images)


def test_every_name_can_be_followed_by_a_crf() -> None:
    with weightless(), torch.inference_mode():
        for name in itertools.islice(NETWORKS, 0, None, 7):
            network = build_network(name, num_classes=4, width=0.125)
            layer = crf_rnn(network, num_classes=4, **NORMALISATION).eval()
            assert layer(torch.empty(1, 3, 40, 33)).shape == (1, 4, 40, 33)
