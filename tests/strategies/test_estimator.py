"""How samples are scored: against training and scoring that are written out."""

import copy
from fractions import Fraction
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from autoseg.architecture import sample_architecture
from autoseg.evaluation import evaluate
from autoseg.networks import build_network
from autoseg.strategies import ESTIMATORS
from autoseg.strategies import estimator as estimator_module
from autoseg.strategies.short_training import ShortTraining
from autoseg.supernet import SinglePath, estimate_statistics
from autoseg.training import DivergedError, cosine
from tests.strategies.contract import SPACE, task_of


def drawn(seed):
    return sample_architecture(SPACE, torch.Generator().manual_seed(seed))


def scored(estimator, architecture):
    """Make the estimator's steps for one architecture, and return its score."""
    while not estimator.is_trained:
        estimator.step(architecture, Fraction(1))
    return estimator.score(architecture, 0, phase=mock.MagicMock()).value


def test_a_short_training_is_sgd_with_momentum_and_a_cosine_of_its_own():
    task = task_of("random", sample_steps=3, gradient_clip=0.0, weight_lr=0.1, weight_decay=0.01)
    training = ShortTraining(task, drawn(0))
    torch.manual_seed(task.config.seed)
    network = build_network(drawn(0), num_classes=12, width=8 / 128, filter_multiplier=2).train()
    batches = task.batches("a")
    velocities = {}
    for step in range(3):
        images, target = next(batches)
        network.zero_grad(set_to_none=True)
        loss = F.cross_entropy(network(images), target, ignore_index=255)
        loss.backward()
        assert training.step((images, target)).item() == pytest.approx(loss.item(), rel=1e-5)
        rate = cosine(step / 3, initial=0.1, final=task.config.weight_lr_final)
        for name, parameter in network.named_parameters():
            if parameter.grad is None:
                continue
            slope = parameter.grad + 0.01 * parameter.detach()
            velocities[name] = 0.9 * velocities[name] + slope if name in velocities else slope
            with torch.no_grad():
                parameter -= rate * velocities[name]
    assert training.is_done
    for (name, parameter), other in zip(
        network.named_parameters(), training.network.parameters(), strict=True
    ):
        # Three float32 steps; rounding reaches the small gradients of deep layers.
        torch.testing.assert_close(other, parameter, rtol=1e-3, atol=1e-5, msg=name)


def test_training_speed_is_the_mean_loss_before_each_step_and_no_image_is_scored(monkeypatch):
    monkeypatch.setattr(estimator_module, "validate", None)  # whoever calls it fails
    task = task_of("random by speed", sample_steps=3, weight_lr=0.1)
    training, batches = ShortTraining(task, drawn(1)), task.batches("a")
    expected = []
    for _ in range(3):
        images, target = next(batches)
        network = copy.deepcopy(training.network)
        with torch.no_grad():
            expected.append(F.cross_entropy(network(images), target, ignore_index=255).item())
        training.step((images, target))
    estimator = ESTIMATORS["speed"](task)
    for _ in range(2):  # what was scored before leaves nothing behind
        # The same operators in float32, with and without a graph for gradients.
        assert scored(estimator, drawn(1)) == pytest.approx(-sum(expected) / 3, rel=1e-6)
    assert estimator.num_evaluations == 2 * 3


def test_a_training_whose_loss_is_not_finite_has_no_speed():
    task = task_of("random by speed", sample_steps=4, weight_lr=1e30, gradient_clip=0.0)
    estimator = ESTIMATORS["speed"](task)
    with pytest.raises(DivergedError, match=r"loss is nan at step 1, with"):
        scored(estimator, drawn(1))
    assert estimator._sum.item() == 0


@pytest.mark.parametrize("name", ["random", "random by supernet", "random by shared"])
def test_a_score_does_not_depend_on_what_was_scored_before(name):
    task = task_of(name)
    estimators = [ESTIMATORS[task.config.estimator](task) for _ in range(2)]
    if task.config.estimator != "short":  # two supernets of the same weights
        estimators[1].load_state_dict(estimators[0].state_dict(), drawn(0))
    alone = scored(estimators[0], drawn(1))
    scored(estimators[1], drawn(0))
    assert scored(estimators[1], drawn(1)) == alone


def test_inherited_weights_are_scored_on_train_b_with_statistics_of_the_path_alone():
    task = task_of("random by supernet", val_images=0)
    estimator = ESTIMATORS["supernet"](task)
    estimator.step(drawn(0), Fraction(0))  # one step of the supernet's training
    score = scored(estimator, drawn(1))
    path = SinglePath(estimator.trainer.supernet, drawn(1))
    batches = task.batches("a")
    estimate_statistics(path, [next(batches)[0] for _ in range(8)])
    half_b = task.half("b")
    assert set(half_b).isdisjoint(task.half("a"))
    expected = evaluate(path, task.train_dataset, device="cpu", indices=half_b).plain.mean_iou()
    assert score == expected


def test_shared_weights_are_scored_in_the_network_that_is_retrained():
    task = task_of("random by shared", val_images=0)
    estimator = ESTIMATORS["shared"](task)
    untrained = estimator.trainer.supernet.network(drawn(1)).state_dict()
    untrained = {name: value.clone() for name, value in untrained.items()}
    estimator.step(drawn(0), Fraction(0))
    score = scored(estimator, drawn(1))
    network = build_network(drawn(1), num_classes=12, width=8 / 128, filter_multiplier=2)
    inherited = estimator.trainer.supernet.network(drawn(1)).state_dict()
    assert any(not torch.equal(inherited[name], untrained[name]) for name in inherited)
    network.load_state_dict(inherited)
    batches = task.batches("a")
    estimate_statistics(network, [next(batches)[0] for _ in range(8)])
    half_b = task.half("b")
    expected = evaluate(network, task.train_dataset, device="cpu", indices=half_b).plain
    assert score == expected.mean_iou()


def test_finetuned_weights_are_inherited_and_trained_on_while_the_shared_ones_rest():
    task = task_of("random by finetuned", val_images=0, weight_lr=0.1)
    estimator = ESTIMATORS["finetuned"](task)
    estimator.step(drawn(0), Fraction(0))  # one step of the shared weights
    shared = copy.deepcopy(estimator.trainer.supernet)
    training, batches = ShortTraining(task, drawn(1)), task.batches("a")
    training.network.load_state_dict(shared.network(drawn(1)).state_dict())
    while not training.is_done:
        training.step(next(batches))
    expected = evaluate(
        training.network, task.train_dataset, device="cpu", indices=task.half("b")
    ).plain
    for _ in range(2):  # what was scored before leaves nothing behind
        assert scored(estimator, drawn(1)) == expected.mean_iou()
    assert estimator.num_evaluations == 1 + 2 * 2
    left = estimator.trainer.supernet.state_dict()
    for name, value in shared.state_dict().items():
        assert torch.equal(left[name], value), name


def test_a_budget_of_time_trains_the_supernet_for_three_quarters_of_it():
    estimator = ESTIMATORS["supernet"](task_of("random by supernet", budget="60s"))
    assert [estimator.epochs_done(Fraction(n, 8)) for n in (0, 2, 3, 5, 6, 8)] == [0, 0, 1, 1, 2, 2]
    assert len(estimator.step(drawn(0), Fraction(5, 8))) == 1
    assert not estimator.is_trained
    assert estimator.step(drawn(0), Fraction(6, 8)) == []
    assert estimator.is_trained
