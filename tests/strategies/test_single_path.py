"""Training by sampled paths: what is drawn, and a step against one that is written out."""

import copy
import dataclasses
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from autoseg.architecture import SearchSpace
from autoseg.config import SearchConfig
from autoseg.strategies.single_path import (
    PATH_SAMPLERS,
    SinglePathTraining,
    fair_paths,
    uniform_paths,
)
from autoseg.supernet import Supernet
from autoseg.training import cosine
from tests.supernet.test_single_path import supernet_logits
from tests.supernet.test_supernet import small_space

SPACE = small_space(num_layers=2, num_nodes=2)
CONFIG = SearchConfig(
    batch_size=2,
    crop_size=(32, 32),
    weight_lr=0.1,
    weight_lr_final=0.01,
    momentum=0.9,
    weight_decay=0.01,
    gradient_clip=0.0,
    precision="fp32",
    seed=3,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def training(name, config=CONFIG):
    torch.manual_seed(0)
    net = Supernet(SPACE, num_classes=5, backend="torch").double()
    return SinglePathTraining(
        net, config, sampler=PATH_SAMPLERS[name], ignore_index=255, device=torch.device("cpu")
    )


def batch(seed=0):
    images = torch.randn(2, 3, 32, 32, generator=seeded(seed), dtype=torch.float64)
    return images, torch.randint(5, (2, 32, 32), generator=seeded(seed))


def test_in_a_fair_step_every_operation_is_once_on_every_edge():
    space = SearchSpace.load("autodeeplab")
    operations = set(space.operations) - {"none"}
    for seed in range(20):
        drawn = fair_paths(space, seeded(seed))
        assert len(drawn) == 7
        assert len({architecture.path for architecture in drawn}) == 1
        for node in range(5):
            for edge in (0, 1):
                edges = [architecture.cell[node][edge] for architecture in drawn]
                assert {edge.op for edge in edges} == operations
                assert len({edge.source for edge in edges}) == 1


def test_fair_orders_are_drawn_for_every_edge_alike():
    # The pair of operations that two edges of a node have in one architecture: 49 outcomes.
    space, generator = dataclasses.replace(SPACE, num_nodes=1), seeded()
    number = {op: i for i, op in enumerate(op for op in space.operations if op != "none")}
    counts = Counter()
    for _ in range(1500):
        ((first, second),) = fair_paths(space, generator)[0].cell
        counts[number[first.op], number[second.op]] += 1
    assert len(counts) == 49
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize("name", ["uniform", "fair"])
def test_a_step_is_sgd_on_the_sum_of_the_one_hot_supernets_gradients(name):
    trainer, expected = training(name), training(name)
    names = [n for n, _ in expected.supernet.named_parameters()]
    momenta = {}
    generator = seeded(CONFIG.seed)
    for number in range(2):
        images, target = batch(number)
        before = {n: p.detach().clone() for n, p in trainer.supernet.named_parameters()}
        loss = trainer.step(images, target, progress=number / 4)

        net, losses = expected.supernet, []
        net.zero_grad(set_to_none=True)
        drawn = PATH_SAMPLERS[name](SPACE, generator)
        for architecture in drawn:
            # An independent road: the whole supernet under one-hot weights.
            loss_of_one = F.cross_entropy(supernet_logits(net, architecture, images), target)
            loss_of_one.backward()
            losses.append(loss_of_one.detach())
        assert float(loss) == pytest.approx(float(sum(losses)) / len(drawn), rel=1e-9)
        rate = cosine(number / 4, initial=0.1, final=0.01)
        moved = 0
        for n, p in net.named_parameters():
            if n in ("alpha", "beta") or p.grad is None or not p.grad.any():
                continue
            decayed = p.grad + 0.01 * p.detach()
            momenta[n] = decayed if n not in momenta else 0.9 * momenta[n] + decayed
            with torch.no_grad():
                p -= rate * momenta[n]
            moved += 1
        got = dict(trainer.supernet.named_parameters())
        for n, p in net.named_parameters():
            assert torch.allclose(got[n], p, rtol=1e-6, atol=1e-9), n
        still = [n for n in names if torch.equal(before[n], got[n])]
        assert {"alpha", "beta"} <= set(still)
        assert 10 < moved < len(names) - 10
    assert trainer.num_evaluations == 2 * (1 if name == "uniform" else 7)


def test_gradients_are_clipped():
    clipped = training("uniform", dataclasses.replace(CONFIG, gradient_clip=1e-3, weight_decay=0.0))
    before = [p.detach().clone() for p in clipped.supernet.weight_parameters()]
    clipped.step(*batch(), progress=0.0)
    after = clipped.supernet.weight_parameters()
    distance = (
        sum(float((a.detach() - b).square().sum()) for a, b in zip(after, before, strict=True))
        ** 0.5
    )
    assert distance == pytest.approx(0.1 * 1e-3, rel=1e-3)


@pytest.mark.parametrize("name", ["uniform", "fair"])
def test_goes_on_from_its_state(name):
    whole, resumed = training(name), training(name)
    whole.step(*batch(1), progress=0.0)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for trainer in (whole, resumed):
        trainer.step(*batch(2), progress=0.5)
    state = whole.supernet.state_dict()
    for key, tensor in resumed.supernet.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    assert whole.num_evaluations == resumed.num_evaluations


def test_uniform_paths_are_one_architecture_of_the_space():
    (first,), (again,), (other,) = (uniform_paths(SPACE, seeded(s)) for s in (1, 1, 2))
    assert first == again != other
