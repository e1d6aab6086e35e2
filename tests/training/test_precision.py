import pytest
import torch

from autoseg.errors import UsageError
from autoseg.training import autocast, resolve_precision

CPU = torch.device("cpu")


def test_auto_is_fp32_on_the_cpu():
    assert resolve_precision("auto", CPU) == "fp32"


def test_bf16_is_refused_by_a_gpu_without_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(UsageError, match="has no bf16; use --precision fp32"):
        resolve_precision("bf16", torch.device("cuda", 0))
    assert resolve_precision("auto", torch.device("cuda", 0)) == "fp32"


def test_autocast_runs_products_in_the_asked_precision():
    a = torch.randn(3, 3)
    with autocast("bf16", CPU):
        assert (a @ a).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert (a @ a).dtype == torch.float32
