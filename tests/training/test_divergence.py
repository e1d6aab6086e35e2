import math

import pytest

from autoseg.training import DivergedError, require_finite


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
