"""Which devices are accepted, and what is said about the others."""

import pytest
import torch

from autoseg.cost import measure_latency, measure_peak_memory
from autoseg.cost.device import measured_device


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, *, num_devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_devices)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)


def test_devices_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, num_devices=3)
    assert measured_device("cpu") == torch.device("cpu")
    assert measured_device("cuda") == torch.device("cuda:1")  # the current one, by its number
    assert measured_device(torch.device("cuda:2")) == torch.device("cuda:2")


@pytest.mark.parametrize("measure", [measure_latency, measure_peak_memory])
def test_missing_cuda_is_refused_before_anything_runs(
    measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_cuda(monkeypatch, num_devices=0)
    calls = []
    with pytest.raises(ValueError) as error:
        measure(lambda: calls.append(1), device="cuda")
    assert "cannot measure on device 'cuda': torch sees no CUDA device" in str(error.value)
    assert "use device='cpu'" in str(error.value)
    assert calls == []


def test_a_device_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, num_devices=2)
    with pytest.raises(ValueError) as error:
        measured_device("cuda:2")
    assert "torch sees 2 CUDA device(s), cuda:0 to cuda:1" in str(error.value)


def test_a_device_without_timer_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot measure on device 'meta': only cpu and cuda"):
        measured_device("meta")
