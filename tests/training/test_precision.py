import pytest
import torch

from autoseg.errors import UsageError
from autoseg.training import autocast, resolve_precision, tensor_float

CPU = torch.device("cpu")


def test_auto_is_fp32_on_the_cpu():
    assert resolve_precision("auto", CPU) == "fp32"


def test_bf16_is_taken_by_a_cpu():
    assert resolve_precision("bf16", CPU) == "bf16"


def test_bf16_is_refused_by_a_gpu_without_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(UsageError, match="has no bf16; use --precision fp32"):
        resolve_precision("bf16", torch.device("cuda", 0))
    assert resolve_precision("auto", torch.device("cuda", 0)) == "fp32"


def test_tf32_is_refused_where_there_is_none(monkeypatch):
    with pytest.raises(UsageError, match=r"--precision tf32: cpu has no TF32.*--precision fp32"):
        resolve_precision("tf32", CPU)
    device = torch.device("cuda", 0)
    for has_tf32 in (True, False):
        monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda has_tf32=has_tf32: has_tf32)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        if has_tf32:
            assert resolve_precision("tf32", device) == "tf32"
        else:
            with pytest.raises(UsageError, match=r"cuda:0 has no TF32"):
                resolve_precision("tf32", device)
    assert resolve_precision("auto", device) == "bf16"


def tf32_settings():
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


@pytest.mark.parametrize(
    ("precision", "inside"), [("tf32", ("tf32", "tf32")), ("fp32", ("ieee", "ieee"))]
)
def test_tf32_is_switched_inside_and_set_back(precision, inside):
    before = tf32_settings()
    with tensor_float(precision):
        assert tf32_settings() == inside
    assert tf32_settings() == before
    with pytest.raises(KeyError), tensor_float(precision):
        raise KeyError
    assert tf32_settings() == before
    # torch's older names raise where both kinds of settings are mixed up.
    assert torch.backends.cuda.matmul.allow_tf32 is False
    assert torch.backends.cudnn.allow_tf32 is True


def test_bf16_leaves_tf32_alone():
    before = tf32_settings()
    with tensor_float("bf16"):
        assert tf32_settings() == before


@pytest.mark.gpu
def test_tf32_rounds_products_and_convolutions_on_a_gpu_and_fp32_does_not():
    device = torch.device("cuda", 0)
    generator = torch.Generator().manual_seed(0)
    # TF32 is allowed, not ordered: for small problems the libraries may choose kernels without it.
    a, b = (torch.randn(1024, 1024, generator=generator, dtype=torch.float64) for _ in range(2))
    maps = torch.randn(8, 128, 32, 32, generator=generator, dtype=torch.float64)
    kernel = torch.randn(128, 128, 3, 3, generator=generator, dtype=torch.float64)
    exact = (a @ b, torch.nn.functional.conv2d(maps, kernel))
    a, b, maps, kernel = (t.float().to(device) for t in (a, b, maps, kernel))
    for precision in ("fp32", "tf32"):
        with tensor_float(precision):
            results = (a @ b, torch.nn.functional.conv2d(maps, kernel))
        for result, expected in zip(results, exact, strict=True):
            error = float((result.cpu() - expected).abs().max() / expected.abs().max())
            # 2**-24 and 2**-11 a factor, averaged over 1,024 or 1,152 products.
            assert (error < 1e-5) == (precision == "fp32"), (precision, error)


def test_autocast_keeps_no_cast_weights():
    weight = torch.randn(3, 3, requires_grad=True)
    with autocast("bf16", CPU):
        assert not torch.is_autocast_cache_enabled()
        assert (weight @ weight).dtype == torch.bfloat16


def test_autocast_runs_products_in_the_asked_precision():
    a = torch.randn(3, 3)
    with autocast("bf16", CPU):
        assert (a @ a).dtype == torch.bfloat16
    for precision in ("fp32", "tf32"):
        with autocast(precision, CPU):
            assert (a @ a).dtype == torch.float32
