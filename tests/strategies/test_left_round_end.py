"""A signal at the end of a round: it is given up, and done first when the search goes on."""

import os
import signal

import pytest

from autoseg.runs import StopRequest
from autoseg.strategies import darts_search, robust
from tests.strategies.contract import metrics, run_search


def signal_in(patch, module, name, number):
    """Send SIGTERM in the `number`-th call of a function."""
    function, calls = getattr(module, name), iter(range(1, 1000))

    def signalled(*args, **options):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return function(*args, **options)

    patch.setattr(module, name, signalled)


@pytest.mark.parametrize(
    ("strategy", "module", "name", "number", "num_logged"),
    [
        ("darts", darts_search, "validate", 2, 1),
        pytest.param("darts", darts_search, "validate", 3, 2, marks=pytest.mark.nightly),
        pytest.param("robust", robust, "hessian_product", 2, 1, marks=pytest.mark.nightly),
        pytest.param("robust", darts_search, "validate", 3, 2, marks=pytest.mark.nightly),
    ],
)
def test_what_is_left_is_done_when_it_goes_on(
    tmp_path, monkeypatch, strategy, module, name, number, num_logged
):
    changes = {"num_epochs": 3, "arch_start_epoch": 1, "val_images": 2, "val_share": 1}
    whole = run_search(strategy, tmp_path / "whole", **changes)
    with monkeypatch.context() as patch, StopRequest() as stop:
        signal_in(patch, module, name, number)
        stopped = run_search(strategy, tmp_path / "stopped", stop=stop, **changes)
    assert not stopped.is_finished
    assert len(metrics(tmp_path / "stopped")) == num_logged
    assert run_search(strategy, tmp_path / "stopped", **changes) == whole
    assert metrics(tmp_path / "stopped") == metrics(tmp_path / "whole")
