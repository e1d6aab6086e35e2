import math

import torch
from torch import nn

from autoseg.networks.initialise import initialise_, initialise_rectified_


def test_standard_deviations_are_the_stated_ones() -> None:
    torch.manual_seed(0)
    hidden, norm = nn.Conv2d(40, 90, 3, bias=False), nn.BatchNorm2d(90)
    pixels, image = nn.Conv2d(300, 100, 1), nn.Linear(300, 100)
    for values in (norm.weight, norm.bias):
        nn.init.constant_(values, 7)
    initialise_(nn.ModuleList([hidden, norm, pixels, image]))

    # 32,400 and 30,000 samples: the estimate's own deviation is 0.4 %; 2 % is five of those.
    kaiming = math.sqrt(2 / (90 * 3 * 3))
    assert math.isclose(hidden.weight.std().item(), kaiming, rel_tol=0.02)
    for logits in (pixels, image):
        assert math.isclose(logits.weight.std().item(), 0.01, rel_tol=0.02)
        assert logits.bias is not None
        assert not logits.bias.any()
    assert torch.equal(norm.weight, torch.ones(90))
    assert not norm.bias.any()


def test_the_gradient_keeps_its_variance_through_relu() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular", bias=False) for _ in "12345"]
    network = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
    initialise_(network)
    images = torch.randn(4, 64, 16, 16, requires_grad=True)
    output = network(images)
    cotangent = torch.randn_like(output)
    (gradient,) = torch.autograd.grad(output, images, cotangent)
    # ReLU passes half of the squares on; the factor 2 of the rule makes up for it in each layer.
    # Without it the ratio would be 1/32; the correlations that ReLU leaves cost less than a third.
    ratio = gradient.square().mean() / cotangent.square().mean()
    assert 0.6 < ratio < 1.6


def test_layers_with_bias_that_feed_relus() -> None:
    torch.manual_seed(0)
    plain, linear = nn.Conv2d(40, 90, 3), nn.Linear(300, 100)
    # Each pixel of the output is a sum over 60 channels and 4 / 4 positions.
    up, norm = nn.ConvTranspose2d(60, 90, 4, stride=4), nn.BatchNorm2d(90)
    frozen = nn.ConvTranspose2d(2, 2, 4, stride=2, bias=False)
    frozen.weight.requires_grad_(False)
    before = frozen.weight.clone()
    nn.init.constant_(norm.weight, 7)
    initialise_rectified_(nn.ModuleList([plain, linear, up, norm, frozen]))
    layers = {plain: 90 * 3 * 3, linear: 100, up: 60}
    for layer, fan in layers.items():
        assert math.isclose(layer.weight.std().item(), math.sqrt(2 / fan), rel_tol=0.02)
        assert layer.bias is not None
        assert not layer.bias.any()
    assert torch.equal(norm.weight, torch.ones(90))
    assert torch.equal(frozen.weight, before)
