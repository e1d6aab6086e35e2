"""An estimator that trains nothing: which network it scores, and on what."""

from fractions import Fraction
from unittest import mock

import pytest
import torch

from autoseg.networks import build_network
from autoseg.strategies import ESTIMATORS
from autoseg.training import segmentation_loss
from autoseg.zero_cost import ZERO_COST_SCORES
from tests.strategies.contract import task_of
from tests.strategies.test_estimator import drawn, scored


@pytest.mark.parametrize("name", ["macs", "snip"])
def test_it_scores_the_untrained_network_on_the_first_batches_of_train_a(name):
    task = task_of("random by NWOT", estimator=name, batch_size=4)
    torch.manual_seed(task.config.seed)
    network = build_network(drawn(1), num_classes=12, width=8 / 128, filter_multiplier=2)
    batches = task.batches("a")
    four = [next(batches) for _ in range(4)]  # of four images each
    expected = ZERO_COST_SCORES[name](
        network, four, lambda logits, target: segmentation_loss(logits, target, ignore_index=255)
    )
    estimator = ESTIMATORS[name](task)
    scored(estimator, drawn(0))  # what was scored before changes nothing
    assert scored(estimator, drawn(1)) == expected


def test_every_score_has_an_estimator_and_what_is_not_finite_is_none(monkeypatch):
    names = {each.key for each in ESTIMATORS.values() if hasattr(each, "key")}
    assert names == set(ZERO_COST_SCORES)
    monkeypatch.setitem(ZERO_COST_SCORES, "nwot", lambda network, batches, loss: -torch.inf)
    estimator = ESTIMATORS["nwot"](task_of("random by NWOT"))
    estimator.step(drawn(0), Fraction(0))
    score = estimator.score(drawn(0), 0, phase=mock.MagicMock())
    assert score.value != score.value
    # Eight batches of two images, once.
    assert (estimator.is_trained, estimator.num_evaluations) == (False, 8)
