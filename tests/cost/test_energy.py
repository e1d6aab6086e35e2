"""Joules that are known, from a counter in place of the driver's."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from autoseg.comparison import timing
from autoseg.cost import energy, energy_meter, measure_energy
from tests.comparison.test_timing import CPU, stages


class FakeNVML(ModuleType):
    """NVML of a machine with two boards; each reading is 250 mJ after the one before."""

    class NVMLError(Exception):
        """NVML's errors."""

    def __init__(self):
        super().__init__("pynvml")
        self.millijoules = 5000

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return ["GPU-of-another", "GPU-of-this"].index(uuid)

    def nvmlDeviceGetTotalEnergyConsumption(self, board):
        if board != 1:
            raise self.NVMLError("Not Supported")
        self.millijoules += 250
        return self.millijoules


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNVML()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(energy, "find_spec", lambda name: name == "pynvml")
    uuids = {0: "of-this", 1: "of-another"}
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(uuid=uuids[device.index]),
    )
    return fake


def test_the_counter_is_that_of_the_device_in_joules(nvml):
    meter = energy_meter(torch.device("cuda:0"))
    assert meter is not None
    assert meter() == nvml.millijoules / 1000 == 5.5  # one reading was a try


def test_where_nothing_counts_there_is_no_meter(nvml, monkeypatch):
    assert energy_meter(torch.device("cuda:1")) is None  # the board has no counter
    assert energy_meter(CPU) is None
    monkeypatch.setattr(energy, "find_spec", lambda name: None)
    assert energy_meter(torch.device("cuda:0")) is None


def test_the_energy_of_a_call_is_the_blocks_share():
    state = SimpleNamespace(now=100.0, joules=7.0)

    def function():  # half a second at 60 watts
        state.now += 0.5
        state.joules += 30.0

    joules = measure_energy(
        function, meter=lambda: state.joules, clock=lambda: state.now, min_seconds=1.8
    )
    assert joules == 30.0
    assert state.now == 102.5  # one call to warm up, and four


def test_a_comparison_measures_with_and_without_the_crf(monkeypatch):
    readings = iter([0.0, 8.0, 10.0, 19.0])
    monkeypatch.setattr(timing, "energy_meter", lambda device: lambda: next(readings))
    monkeypatch.setattr(
        timing,
        "measure_energy",
        lambda function, **given: measure_energy(function, **given, min_seconds=0.0),
    )
    given = stages([], "a", crf=timing.DenseCRF(num_iterations=1))
    choice = timing.TimingConfig(
        min_runs=1, min_seconds=0.0, max_warm_up_seconds=0.0, max_drift=1e9
    )
    (costs,) = timing.time_networks([given], device=CPU, timing=choice)
    assert (costs.energy_j, costs.energy_together_j) == (8.0, 9.0)
