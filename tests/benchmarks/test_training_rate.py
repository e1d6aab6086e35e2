"""The benchmark of whole retraining steps: its rows, and what it does after a stop."""

import csv
import importlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from autoseg.training.compiled import CompilationError
from tests.benchmarks.conftest import BENCHMARKS

SMALL = (
    *("--networks", "icnet_resnet50", "--forms", "eager", "--images", "resident"),
    *("--width", "0.125", "--crop-size", "64", "64", "--batch-size", "2", "--device", "cpu"),
    *("--steps", "2", "--rounds", "3"),
)


@pytest.fixture
def rate(monkeypatch):
    """The benchmark, as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("training_rate")


def test_a_rate_is_images_over_the_time_of_a_round(rate, tmp_path, monkeypatch):
    # Three rounds of 2 steps of 2 images, which take 1, 4 and 2 seconds.
    seconds = iter((1.0, 4.0, 2.0))
    monkeypatch.setattr(rate, "_seconds", lambda step, num_steps, now: next(seconds))
    assert rate.main([*SMALL, "--out", str(tmp_path)]) == 0
    with (tmp_path / "training_rate.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    names = ("slowest_images_per_s", "images_per_s", "fastest_images_per_s")
    assert [float(row[name]) for name in names] == [1, 2, 4]
    # By another counter: torch's own, over a step of one image at this size.
    network = rate._network(
        SimpleNamespace(network="icnet_resnet50"), SimpleNamespace(width=0.125), num_classes=12
    )
    counter = torch.utils.flop_counter.FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 64, 64))
    assert float(row["tflop_per_s"]) == pytest.approx(3 * counter.get_total_flops() * 2 / 1e12)
    assert row["num_kernels"] == ""  # the CPU has none
    assert "2 crops of 64 x 64" in (tmp_path / "training_rate.md").read_text()


def test_a_stopped_call_measures_what_its_table_lacks(rate, tmp_path, monkeypatch):
    measured = []

    def measure(setting, request, device):
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(setting.images)
        return replace(setting, images_per_s=1.0)

    asked = [*SMALL, "--images", "resident", "loaded", "--out", str(tmp_path)]
    monkeypatch.setattr(rate, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        rate.main(asked)
    assert len(json.loads((tmp_path / "training_rate.json").read_text())["rows"]) == 1
    measured.clear()
    assert rate.main(asked) == 0
    assert measured == ["loaded"]


def test_a_row_that_fails_says_why_and_is_tried_again(rate, tmp_path, monkeypatch):
    def fails(setting, request, device):
        raise CompilationError("--compile: no compiler\nbelow")

    monkeypatch.setattr(rate, "_measured", fails)
    assert rate.main([*SMALL, "--out", str(tmp_path)]) == 1
    assert "--compile: no compiler" in (tmp_path / "training_rate.md").read_text()
    assert rate.load_rows(tmp_path / "training_rate.json") == []


def test_kernels_are_the_events_of_the_gpu_but_copies(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    kernels = importlib.import_module("gpu_kernels")
    events = [
        SimpleNamespace(device_type=DeviceType.CPU, name="aten::conv2d"),
        SimpleNamespace(device_type=DeviceType.CUDA, name="separable_kernel"),
        SimpleNamespace(device_type=DeviceType.CUDA, name="Memcpy HtoD (Pinned -> Device)"),
        SimpleNamespace(device_type=DeviceType.CUDA, name="Memset (Device)"),
        SimpleNamespace(device_type=DeviceType.CUDA, name="void cudnn::nchwToNhwcKernel"),
    ]
    assert kernels.num_kernels(events) == 2
    assert kernels.count_kernels(lambda: None, torch.device("cpu")) is None
