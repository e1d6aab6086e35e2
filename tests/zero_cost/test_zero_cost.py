"""Zero-cost scores against loops, finite differences and NumPy, in float64."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.contract import TrainingLogits
from autoseg.cost import count_parameters
from autoseg.zero_cost import ZERO_COST_SCORES, jacov, nwot, snip, zico


class Functional(nn.Module):
    """A ReLU that no module is, as some operations have it."""

    def forward(self, features):
        return features.relu()


class Auxiliary(nn.Module):
    """Gives more than its logits in training."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        logits = self.network(images)
        return TrainingLogits(logits, (1000 * logits,), (0.4,))


def network(*, has_norm=True):
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 2, 3, padding=1, bias=False),
        *([nn.BatchNorm2d(2)] if has_norm else []),
        nn.ReLU(inplace=True),
        nn.Conv2d(2, 3, 1),
        Functional(),
        nn.Conv2d(3, 4, 1),
    )
    return nn.Sequential(*layers).double()


def images(number=3, seed=1):
    return torch.randn(number, 3, 4, 5, generator=torch.Generator().manual_seed(seed)).double()


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    return images(2, seed), torch.randint(4, (2, 4, 5), generator=generator)


def slopes_by_differences(model, data, target, *, width=1e-6):
    """The gradient of the loss by each weight of a convolution, a list of arrays."""
    found = []
    for module in model.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        flat, slopes = module.weight.data.view(-1), []
        for place in range(flat.numel()):
            value, losses = flat[place].item(), []
            for sign in (1, -1):
                flat[place] = value + sign * width
                losses.append(F.cross_entropy(copy.deepcopy(model).train()(data), target).item())
            flat[place] = value
            slopes.append((losses[0] - losses[1]) / (2 * width))
        found.append(np.array(slopes))
    return found


def test_jacov_is_a_function_of_the_correlations_of_gradients_image_by_image():
    model, data = network(has_norm=False), images()
    rows = []
    for image in data:  # alone: without batch norm no image knows the others
        image = image[None].clone().requires_grad_()
        model(image).sum().backward()
        rows.append(image.grad.numpy().ravel())
    values = np.linalg.eigvalsh(np.corrcoef(np.array(rows)))
    expected = -sum(math.log(value + 1e-5) + 1 / (value + 1e-5) for value in values)
    assert jacov(model, data) == pytest.approx(expected, rel=1e-6)
    twins = data[:1].repeat(2, 1, 1, 1)  # correlation 1: an eigenvalue of 0
    expected = -(math.log(1e-5) + 1e5 + math.log(2) + 1 / 2)
    assert jacov(model, twins) == pytest.approx(expected, rel=1e-3)


def test_nwot_counts_the_units_in_which_two_images_agree():
    model, data = network(), images(4)
    layers, features, inputs = copy.deepcopy(model).train(), data, []
    for layer in layers:
        if isinstance(layer, nn.ReLU | Functional):
            inputs.append(features.clone())
        features = layer(features)
    codes = (torch.cat([units.flatten(1) for units in inputs], dim=1) > 0).numpy()
    kernel = np.array([[(one == other).sum() for other in codes] for one in codes])
    assert nwot(model, data) == pytest.approx(math.log(abs(np.linalg.det(kernel))), rel=1e-9)
    assert nwot(model, data[:1].repeat(2, 1, 1, 1)) == -math.inf
    with pytest.raises(ValueError, match="calls no ReLU"):
        nwot(nn.Conv2d(3, 4, 1).double(), data)


def test_snip_is_what_the_loss_would_change_without_each_weight():
    model, batches = network(), [batch(1), batch(2)]
    data, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    slopes = slopes_by_differences(model, data, target)
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    expected = sum(
        np.abs(weight.detach().numpy().ravel() * slope).sum()
        for weight, slope in zip(weights, slopes, strict=True)
    )
    assert snip(model, batches, F.cross_entropy) == pytest.approx(expected, rel=1e-5)


def test_zico_is_the_mean_of_gradients_over_their_deviation_by_layer():
    model, batches = network(), [batch(seed) for seed in (1, 2, 3)]
    by_batch = [slopes_by_differences(model, *each) for each in batches]
    expected = 0.0
    for layer in zip(*by_batch, strict=True):
        sizes = np.abs(np.array(layer))
        is_used = sizes.std(axis=0) > 1e-9  # a weight behind a unit that is always off is not
        ratios = sizes.mean(axis=0)[is_used] / sizes.std(axis=0)[is_used]
        expected += math.log(ratios.sum())
    assert zico(model, batches, F.cross_entropy) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="1 batch, but a deviation needs at least two"):
        zico(model, batches[:1], F.cross_entropy)
    # Batches that are the same have no deviation, and say nothing.
    assert zico(model, [batches[0]] * 2, F.cross_entropy) == 0


@pytest.mark.parametrize("name", ZERO_COST_SCORES)
def test_a_score_leaves_the_network_as_it_was_and_takes_its_main_logits(name):
    model = network()
    before = copy.deepcopy(model.state_dict())
    batches = [batch(1), batch(2)]
    score = ZERO_COST_SCORES[name](model, batches, F.cross_entropy)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(parameter.grad is None for parameter in model.parameters())
    if name != "macs":  # counted in eval mode
        assert ZERO_COST_SCORES[name](Auxiliary(model), batches, F.cross_entropy) == score


def test_sizes_are_those_of_the_costs():
    model, batches = network(), [batch(1)]
    num_params, macs = (
        ZERO_COST_SCORES[name](model, batches, F.cross_entropy) for name in ("parameters", "macs")
    )
    assert num_params == count_parameters(model)
    assert macs == 4 * 5 * (2 * 3 * 9 + 2 * 3 + 3 * 4)
