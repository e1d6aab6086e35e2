"""A search by two processes, against one process that sees the halves of each batch apart."""

import pytest
import torch

from autoseg.distributed import joined
from autoseg.launch import launch
from autoseg.runs import open_run
from autoseg.strategies import Darts
from tests.processes import run_processes
from tests.strategies.test_search_loop import new_run, run_search
from tests.training.test_loop import Flag, metrics


def search_together(folder, *, stop_after=None, resume=False):
    with (
        joined(launch()),
        open_run(folder, resume=resume, kind="search", command=["test"], config={}, seed=1) as run,
    ):
        supernet, result = run_search(run, stop=Flag(stop_after))
        arch = [parameter.detach().numpy() for parameter in supernet.arch_parameters()]
        return result.step, result.architecture, arch


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together") / "whole"
    return folder, run_processes(search_together, folder)


def test_two_processes_search_as_one_that_normalises_each_half(tmp_path, together, monkeypatch):
    def of_halves(darts, images):
        return torch.cat([darts.supernet(half) for half in images.chunk(2)])

    monkeypatch.setattr(Darts, "predict", of_halves)
    with new_run(tmp_path / "one") as run:
        supernet, result = run_search(run)
    folder, (first, second) = together
    assert first[:2] == second[:2] == (result.step, result.architecture)
    for own, other, expected in zip(first[2], second[2], supernet.arch_parameters(), strict=True):
        assert (own == other).all()
        # float32, and Adam, whose first steps have the gradient's sign times the rate.
        torch.testing.assert_close(torch.from_numpy(own), expected.detach(), rtol=1e-3, atol=1e-3)
    losses, expected = ([line["loss"] for line in metrics(f)] for f in (folder, tmp_path / "one"))
    assert losses == pytest.approx(expected, rel=1e-4)


def test_two_processes_that_were_stopped_go_on_bit_for_bit(tmp_path, together):
    whole, expected = together
    folder = tmp_path / "stopped"
    (step, *_), _ = run_processes(search_together, folder, stop_after=3)
    assert step == 3
    resumed = run_processes(search_together, folder, resume=True)
    for (*told, arch), (*told_before, arch_before) in zip(resumed, expected, strict=True):
        assert told == told_before
        for own, other in zip(arch, arch_before, strict=True):
            assert (own == other).all()
    assert metrics(folder) == metrics(whole)
    first, second = (saved(where)["strategy"]["supernet"] for where in (folder, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)


def saved(folder):
    newest = max(folder.glob("checkpoint-*.pt"))
    return torch.load(newest, weights_only=True)["state"]
