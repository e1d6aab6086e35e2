"""A search by partial channels: what moves, what comes back, and what is refused."""

import dataclasses

import pytest
import torch

from autoseg.errors import UsageError
from tests.architecture.cells import SMALL
from tests.strategies.contract import strategy_of, task_of


def test_gamma_moves_with_alpha_and_beta_and_is_in_the_state():
    task = task_of("pc")
    torch.manual_seed(0)
    search, other = (strategy_of("pc")(task) for _ in range(2))
    gamma = search.supernet.gamma
    before = [source.layout.channels for source in search.supernet.cells["layer1_stride8"].sources]
    assert before == [2]  # of 4
    batch = next(task.batches("a"))
    search.darts.step(batch, progress=0.0)
    assert bool((gamma == 0).all())
    search.darts.step(batch, next(task.batches("b")), progress=0.5)
    # One step of Adam, at rate 0.1: the two edges to the node part, whatever their slopes.
    torch.testing.assert_close(gamma.abs().detach(), torch.full((2,), 0.1))
    other.load_state_dict(search.state_dict())
    assert torch.equal(other.supernet.gamma, gamma)
    assert other.decode() == search.decode()


def test_what_does_not_work_is_refused():
    space = dataclasses.replace(task_of("pc").space, filter_multiplier=6)
    task = dataclasses.replace(task_of("pc", partial_channels=4), space=space)
    message = (
        r"partial_channels = 4, but a node of stride 4 has 6 channels \(filter_multiplier of the "
        r"space\), .*; use --partial-channels 1 or 2 or 3 or 6\."
    )
    with pytest.raises(UsageError, match=message):
        strategy_of("pc").check(task)
    task = task_of("pc")
    space = dataclasses.replace(task.space, operations=("skip_connect", "sep_conv_3x3"))
    with pytest.raises(UsageError, match=r"add it to its operations, or use --no-edge-norm"):
        strategy_of("pc").check(dataclasses.replace(task, space=space))
    bare = dataclasses.replace(task.config, edge_normalisation=False)
    strategy_of("pc").check(dataclasses.replace(task, space=space, config=bare))
    with pytest.raises(UsageError, match="pc does not search a cell space such as 'small'; use"):
        strategy_of("pc").check(dataclasses.replace(task, space=SMALL))
