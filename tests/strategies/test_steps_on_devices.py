"""What a step of each strategy owes a GPU, as far as a CPU can tell: precision, and no waiting."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch

from autoseg.config import SearchConfig
from autoseg.strategies import (
    ESTIMATORS,
    PATH_SAMPLERS,
    STRATEGIES,
    Darts,
    darts,
    short_training,
    single_path,
)
from autoseg.strategies.darts import can_use_graph
from autoseg.strategies.graph import NUM_EAGER_STEPS, GraphedStep
from autoseg.strategies.short_training import ShortTraining
from autoseg.strategies.single_path import SinglePathTraining
from autoseg.supernet import Supernet
from tests.strategies.contract import SPACE, task_of
from tests.strategies.test_estimator import drawn
from tests.strategies.test_graph import Rerunner
from tests.training.precision_watch import Precisions
from tests.waits import META, Waits

CPU = torch.device("cpu")
CONFIG = SearchConfig(batch_size=2, crop_size=(32, 32), precision="fp32")


def batch():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(2, 3, 32, 32, generator=generator)
    return images, torch.randint(12, (2, 32, 32), generator=generator)


def stepping(kind, *, device=CPU, precision="fp32"):
    """Return what makes a step, and a module that its images pass."""
    torch.manual_seed(0)
    if kind == "short training":
        task = dataclasses.replace(task_of("random", precision=precision), device=device)
        training = ShortTraining(task, drawn(0))
        return lambda: training.step(batch()), training.network
    config = dataclasses.replace(CONFIG, precision=precision)
    net = Supernet(SPACE, num_classes=12, backend="torch").to(device)
    if kind == "single path":
        training = SinglePathTraining(
            net, config, sampler=PATH_SAMPLERS["uniform"], ignore_index=255, device=device
        )
        return lambda: training.step(*batch(), progress=0.5), net.stem
    strategy = Darts(net, config, ignore_index=255, device=device)
    return lambda: strategy.step(batch(), batch(), progress=0.5), net


@pytest.fixture
def any_precision(monkeypatch):
    """Let a CPU be asked for TF32 as well, which changes nothing there but torch's settings."""
    for module in (darts, short_training, single_path):
        monkeypatch.setattr(module, "resolve_precision", lambda precision, device: precision)


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("kind", ["darts", "single path", "short training"])
def test_a_step_is_made_in_the_asked_precision(kind, precision):
    step, module = stepping(kind, precision=precision)
    seen = Precisions(module)
    step()
    seen.require(precision)


class Still:
    """An optimizer that moves nothing: a fused one takes no tensors without numbers."""

    def __init__(self, weights, **how):
        self.param_groups = []

    def zero_grad(self, *, set_to_none):
        assert set_to_none

    def step(self):
        pass


@pytest.mark.parametrize("kind", ["single path", "short training"])
def test_no_step_waits_for_the_device(kind):
    step, _ = stepping(kind, device=META)
    step()  # the first one uploads indices, which stay
    with Waits() as waits:
        step()
    assert waits.found == []


def test_no_half_step_waits_for_its_batch(monkeypatch):
    for name in ("SGD", "Adam"):
        monkeypatch.setattr(darts, name, Still)
    net = Supernet(SPACE, num_classes=12, backend="torch").to(META)
    # What the supernet itself does is tested beside it.
    net.forward = lambda images: (
        images[:, :1].expand(-1, 12, -1, -1) * net.alpha.sum() * net.stem.conv1[0].weight.sum()
    )
    strategy = Darts(net, CONFIG, ignore_index=255, device=META)
    with Waits() as waits:
        strategy.step(batch(), batch(), progress=0.5)
    assert waits.found == []


def test_a_step_becomes_a_graph_on_a_gpu_of_its_own(monkeypatch):
    cuda, asked = torch.device("cuda", 0), dataclasses.replace(CONFIG, cuda_graph=True)
    assert can_use_graph(asked, cuda)
    assert not can_use_graph(CONFIG, cuda)
    assert not can_use_graph(asked, CPU)
    monkeypatch.setattr(darts, "num_processes", lambda: 2)
    assert not can_use_graph(asked, cuda)


@pytest.mark.parametrize("change", ["weight decay", "state", "both half-steps"])
def test_what_a_graph_has_recorded_is_recorded_anew_when_it_changes(monkeypatch, change):
    recorders = []

    def graphed(step, *, device):
        recorders.append(Rerunner())
        return GraphedStep(step, device=device, recorder=recorders[-1])

    monkeypatch.setattr(darts, "GraphedStep", graphed)
    net = Supernet(SPACE, num_classes=12, backend="torch")
    strategy = Darts(net, CONFIG, ignore_index=255, device=CPU)
    strategy.uses_graph = True

    def steps(*batches):
        for _ in range(NUM_EAGER_STEPS + 1):
            strategy.step(*batches, progress=0.5)

    steps(batch())
    if change == "weight decay":
        strategy.set_weight_decay(0.5)
    elif change == "state":
        strategy.load_state_dict(strategy.state_dict())
    steps(batch(), *([batch()] if change == "both half-steps" else []))
    counts = [(each.warm_ups, each.records, each.replays) for each in recorders]
    assert counts == [(NUM_EAGER_STEPS, 1, 1)] * 2


def test_images_are_scored_together():
    task = task_of("darts", val_images=3)
    assert 4 * task.config.batch_size * 32 * 32 >= 3 * 48 * 48  # four times a step's
    scorers = {
        "darts": STRATEGIES["darts"](task),
        "short": ESTIMATORS["short"](task_of("random", val_images=3)),
    }
    network = ShortTraining(task, drawn(0)).network
    for name, scorer in scorers.items():
        scored, together = scorer.supernet if name == "darts" else network, []
        scored.register_forward_pre_hook(
            lambda _, inputs, seen=together: seen.append(len(inputs[0]))
        )
        number = [[0, 1, 2]] if name == "darts" else [network]
        scorer._validate(*number, 0, lambda word: nullcontext(None))
        assert together == [3], name
