"""Timings are taken with the number of threads that was asked for."""

import csv

import pytest
import torch

from autoseg import compare
from autoseg.commands import compare as compare_command
from autoseg.commands.cpu_threads import pinned_threads
from autoseg.errors import UsageError

pytestmark = pytest.mark.usefixtures("no_warm_up")

_QUICK = ["--min-runs", "1", "--min-seconds", "0", "--device", "cpu"]


def test_threads_are_pinned_while_networks_are_measured_and_recorded(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    asked = ["--threads", str(before + 2), "--networks", "icnet_resnet50", "--width", "0.125"]
    out, measure, seen = tmp_path / "out", compare_command.measure_networks, []

    def measured(cases, **settings):
        cases[0].subject.network.register_forward_pre_hook(
            lambda *_: seen.append(torch.get_num_threads())
        )
        return measure(cases, **settings)

    monkeypatch.setattr(compare_command, "measure_networks", measured)
    # ONNX Runtime and OpenVINO are given torch's number: tests/export/test_running.py.
    compare.main([*asked, "--runs", str(tmp_path), "--out", str(out), "--no-crf", *_QUICK])
    assert set(seen) == {before + 2} and torch.get_num_threads() == before
    with (out / "compare.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["num_threads"] == str(before + 2)
    assert f"CPU threads of torch: {before + 2}" in (out / "compare.md").read_text()


def test_threads_of_a_gpu_are_refused(monkeypatch):
    with (
        pytest.raises(UsageError, match=r"^--threads 2: the device is cuda:0, and threads are the"),
        pinned_threads(2, torch.device("cuda:0")),
    ):
        pass
