"""A signal while a training validates: it is given up, and done first when the training goes on."""

import os
import signal

import pytest

from autoseg.runs import Run, StopRequest
from tests.training.test_loop import Network, assert_same_run, metrics, new_run, run_training


def signal_while_scoring(patch, number):
    """Send SIGTERM while a network is scored for the `number`-th time."""
    forward, calls = Network.forward, iter(range(1, 100))

    def signalled(network, images):
        if not network.training and next(calls) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(network, images)

    patch.setattr(Network, "forward", signalled)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    with new_run(folder) as run:
        _, result = run_training(run)
    return folder, result


@pytest.mark.parametrize("number", [1, 3])  # of three validations, after 2, 4 and 6 steps
def test_what_is_left_is_done_when_it_goes_on(tmp_path, uninterrupted, monkeypatch, number):
    whole, expected = uninterrupted
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch, new_run(folder) as run, StopRequest() as stop:
        signal_while_scoring(patch, number)
        _, result = run_training(run, stop=stop)
    assert (result.step, result.is_finished) == (2 * number, False)
    assert [line["step"] for line in metrics(folder)] == list(range(2, 2 * number, 2))
    with Run.resume(folder) as run:
        _, result = run_training(run)
    assert result == expected
    assert_same_run(folder, whole)
