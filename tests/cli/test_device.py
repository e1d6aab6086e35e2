import pytest
import torch

from autoseg.cli import resolve_device
from autoseg.errors import UsageError


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU{index}")
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.usefixtures("no_cuda")
def test_without_cuda(monkeypatch):
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.version, "cuda", None)
    rule = r"^--device cuda: torch .* is built without CUDA; install a CUDA build.*--device cpu\.$"
    with pytest.raises(UsageError, match=rule):
        resolve_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    rule = r"^--device cuda:1: torch .* is built for CUDA 12\.8 but finds no GPU; .*--device cpu\.$"
    with pytest.raises(UsageError, match=rule):
        resolve_device("cuda:1")


def test_with_cuda(two_gpus):
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 1)
    assert two_gpus == []
    # What names no device means the current one: precisions, graphs, names.
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    assert two_gpus == [0]
    rule = r"--device cuda:2: there is no such device; present: cuda:0 \(GPU0\), cuda:1 \(GPU1\)\."
    with pytest.raises(UsageError, match=rule):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_word(name):
    with pytest.raises(UsageError, match=rf"unknown device '{name}'\. Known: auto, cpu, cuda"):
        resolve_device(name)
