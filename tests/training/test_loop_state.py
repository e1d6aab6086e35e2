"""What loops keep to go on: the mean of their losses, and torch's random numbers."""

import torch

from autoseg.training import LOOP_FIELDS, LoopState


def test_the_mean_is_of_the_losses_since_the_last_one():
    state = LoopState()
    assert state.take_mean() is None
    for loss in (1.0, 2.0, 6.0):
        state.add(loss)
    assert (state.take_mean(), state.take_mean()) == (3.0, None)


def test_a_loop_goes_on_with_the_same_numbers():
    torch.manual_seed(3)
    state = LoopState(step=7)
    state.add(0.5)
    saved = state.state_dict()
    assert set(saved) == set(LOOP_FIELDS)
    drawn = torch.rand(4)
    other = LoopState()
    other.load_state_dict(saved)
    assert other == state
    assert torch.equal(torch.rand(4), drawn)
