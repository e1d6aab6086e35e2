import pytest
import torch
from torch import nn

from autoseg.ops import ResponseNorm


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("size", [4, 5])
def test_is_torchs(channels: int, size: int) -> None:
    features = 30 * torch.randn(2, channels, 4, 5, dtype=torch.float64)
    expected = nn.LocalResponseNorm(size, alpha=0.01, beta=0.75)(features)
    torch.testing.assert_close(ResponseNorm(size, alpha=0.01, beta=0.75)(features), expected)


def test_runs_in_bfloat16() -> None:
    features = torch.randn(2, 6, 4, 5)
    result = ResponseNorm()(features.bfloat16())
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), ResponseNorm()(features), rtol=0.02, atol=0.02)
