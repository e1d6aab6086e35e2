import math

import pytest
import torch

from autoseg.training import DivergedError, PendingLosses, require_finite


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_message_names_step_rate_and_remedy(loss):
    with pytest.raises(DivergedError) as error:
        require_finite(loss, step=17, learning_rate=0.5, what="training")
    message = str(error.value)
    assert f"the training loss is {loss} at step 17, with learning rate 0.5" in message
    assert "Try a third of the learning rate" in message
    assert "untouched" in message


def test_a_finite_loss_passes():
    require_finite(1e30, step=0, learning_rate=0.1, what="training")


def pending(*values):
    losses = PendingLosses()
    for step, value in enumerate(values):
        loss = torch.tensor(value, requires_grad=True)
        losses.add(loss, step=step, learning_rate=0.5, what="ab"[step % 2])
    return losses


def test_pending_losses_are_read_in_order_and_once():
    losses = pending(1.0, 2.0, 0.1)
    # 0.1 comes back as the float32 that it was.
    assert losses.read() == {"a": [1.0, torch.tensor(0.1).item()], "b": [2.0]}
    assert losses.read() == {}


def test_the_first_bad_loss_is_named():
    message = "the b loss is inf at step 1, with learning rate 0.5"
    with pytest.raises(DivergedError, match=message):
        pending(1.0, math.inf, math.nan, math.nan).read()


def test_a_pending_loss_is_a_copy():
    losses, buffer = PendingLosses(), torch.tensor(1.0)
    losses.add(buffer, step=0, learning_rate=0.5, what="a")
    buffer.fill_(2)
    assert losses.read() == {"a": [1.0]}
