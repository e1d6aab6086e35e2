"""Parameters and MACs of every network, as `zoo.CASES` has them from papers and layers."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.cost import (
    count_macs_fvcore,
    count_macs_thop,
    count_macs_torch,
    explain_macs,
)
from autoseg.networks import inference_parameters
from autoseg.networks.weightless import weightless
from tests.networks.test_contract import (
    CHOSEN,
    NUM_CLASSES,
    build_small,
    every_network,
    one_of_each_kind_and_nightly_the_rest,
    random_images,
)
from tests.networks.zoo import CASES, Case


@cache
def full_on_meta(case: Case, num_classes: int) -> nn.Module:
    """Build the paper's form without memory for its weights, once for all that count something."""
    with weightless():
        return case.full(num_classes)


@every_network
def test_parameters_are_the_published_ones(case: Case) -> None:
    published_classes, published = case.published_params
    assert case.num_params(published_classes) == published
    check_counts(case, published_classes)
    if case.published_with_auxiliary is not None:
        network = full_on_meta(case, published_classes)
        counted = sum(parameter.numel() for parameter in network.parameters())
        assert counted == case.published_with_auxiliary


@one_of_each_kind_and_nightly_the_rest
def test_parameters_of_another_number_of_classes(case: Case) -> None:
    check_counts(case, 1)


def check_counts(case: Case, num_classes: int) -> None:
    network = full_on_meta(case, num_classes)
    counted = sum(parameter.numel() for parameter in inference_parameters(network))
    assert counted == case.num_params(num_classes)
    frozen = [
        parameter.numel() for parameter in network.parameters() if not parameter.requires_grad
    ]
    assert sum(frozen) == case.num_frozen(num_classes)


@pytest.mark.parametrize(
    "case",
    [
        # Of one of each kind; of all of them the published parameters are counted above.
        pytest.param(case, marks=() if case.name in CHOSEN else pytest.mark.nightly)
        for case in CASES
        if case.published_macs_g
    ],
    ids=lambda case: case.name,
)
def test_macs_are_the_published_ones(case: Case) -> None:
    assert case.published_macs_g is not None
    num_classes, size, published = case.published_macs_g
    network = full_on_meta(case, num_classes).eval()
    images = torch.empty(1, 3, *size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    # FlopCounterMode prices convolutions and linear layers alone, at 2 FLOPs a MAC.
    assert f"{counter.get_total_flops() / 2e9:.3f}" == published


@one_of_each_kind_and_nightly_the_rest
def test_macs_are_those_of_its_layers(case: Case) -> None:
    # k^2 * channels / groups for each output; a transposed convolution the same for each input.
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.get_parameter("weight")
        across = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += weight[0].numel() * across.numel()

    with weightless():
        network = case.small(NUM_CLASSES).eval()
        images = torch.empty(1, 3, 65, 97)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(add)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    assert counter.get_total_flops() == 2 * total


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case, marks=() if case.name in ("segnet_basic", "unet") else pytest.mark.nightly
        )
        for case in CASES
    ],
    ids=lambda case: case.name,
)
def test_what_every_other_counter_says_is_predicted_to_the_unit(case: Case) -> None:
    network, size = build_small(case).eval(), (65, 97)
    explanation = explain_macs(network, size)
    for count, prediction in (
        (count_macs_fvcore, explanation.fvcore),
        (count_macs_thop, explanation.thop),
        (count_macs_torch, explanation.canonical),
    ):
        assert count(network, size).macs == prediction.macs > 0


@one_of_each_kind_and_nightly_the_rest
def test_inference_parameters_are_those_that_eval_uses(case: Case) -> None:
    network = build_small(case).eval()
    network(random_images(1, 33, 41)).square().sum().backward()
    counted = {id(p) for p in inference_parameters(network) if p.requires_grad}
    used = {id(parameter) for parameter in network.parameters() if parameter.grad is not None}
    assert used == counted
