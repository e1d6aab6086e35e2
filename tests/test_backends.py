"""Which back end is taken, and what is said where one is not at hand."""

import re
import warnings

import pytest

from autoseg import _native, backends
from autoseg.backends import choose_backend, warn_of_cost
from autoseg.errors import UsageError


@pytest.fixture(autouse=True)
def chosen_anew(monkeypatch):
    """Forget what was found and said, and let nothing of this be remembered."""
    monkeypatch.setattr(backends, "_fastest", backends._fastest.__wrapped__)
    monkeypatch.setattr(backends, "_said", set())


@pytest.fixture
def without_kernels(monkeypatch):
    monkeypatch.setattr(backends, "core", lambda: None)
    monkeypatch.setattr(backends, "missing_reason", lambda: "Install a compiler.")


def test_plain_operators_on_request():
    backend = choose_backend("torch", "cpu", work="Supernet")
    assert (backend.name, backend.implementation) == ("torch", "torch")
    assert backend.announcement == "back end torch (asked for)"


@pytest.mark.skipif(_native.core() is None, reason="the compiled kernels are missing")
@pytest.mark.parametrize("name", ["auto", "fused"])
def test_the_compiled_kernels_are_named_with_their_instruction_set(name):
    backend = choose_backend(name, "cpu", work="DenseCRF")
    assert (backend.name, backend.implementation) == ("fused", "native")
    isa = _native.core().isa()
    assert backend.announcement == f"back end fused (compiled C++ kernels for {isa})"


@pytest.mark.usefixtures("without_kernels")
@pytest.mark.parametrize("work", ["Supernet", "DenseCRF"])
def test_without_compiled_kernels_auto_says_once_what_that_costs_and_fused_refuses(work):
    backend = choose_backend("auto", "cpu", work=work)
    assert backend.name == "torch"
    with pytest.warns(UserWarning) as warned:
        warn_of_cost(backend, work=work)
        warn_of_cost(backend, work=work)
    assert [str(warning.message) for warning in warned] == [
        f"{work}: back end torch, which takes several times as long (the compiled kernels are "
        "missing. Install a compiler.)"
    ]
    # Where the caller stands, so that a command shows it as autoseg's own sentence.
    assert warned[0].filename == __file__
    text = (
        f"{work}: backend 'fused' on cpu: the compiled kernels are missing. Install a compiler. "
        "Or use backend 'torch'."
    )
    with pytest.raises(UsageError, match=f"^{re.escape(text)}$"):
        choose_backend("fused", "cpu", work=work)


def test_nvidia_devices_take_triton(monkeypatch):
    import torch

    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A100")
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: name)
    for name in ("auto", "fused"):
        backend = choose_backend(name, "cuda", work="Supernet")
        assert (backend.name, backend.implementation) == ("fused", "triton")
        assert backend.announcement == "back end fused (Triton kernels for A100)"


@pytest.mark.parametrize(
    ("hip", "reason"),
    [
        (None, "Triton is not installed (`pip install triton`)."),
        ("6.2", "the Triton kernels are for NVIDIA devices and this torch is for AMD's."),
    ],
)
def test_without_triton_auto_says_what_that_costs_and_fused_refuses(hip, reason, monkeypatch):
    import torch

    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    backend = choose_backend("auto", "cuda", work="Supernet")
    assert backend.announcement == f"back end torch, which takes longer ({reason})"
    with pytest.raises(UsageError, match=re.escape(f"'fused' on cuda: {reason} Or use backend")):
        choose_backend("fused", "cuda", work="Supernet")


def test_what_kernels_cannot_do_is_plain_operators_and_costs_nothing_to_say(without_kernels):
    obstacle = "the logits are float64."
    backend = choose_backend("auto", "cpu", work="DenseCRF", obstacle=obstacle)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_cost(backend, work="DenseCRF")
    assert backend.announcement == f"back end torch ({obstacle})"
    with pytest.raises(UsageError, match=f"'fused' on cpu: {obstacle} Or use backend 'torch'"):
        choose_backend("fused", "cpu", work="DenseCRF", obstacle=obstacle)


def test_a_device_without_kernels_is_named_whatever_else_stands_in_the_way():
    backend = choose_backend("auto", "mps", work="Supernet", obstacle="float64.")
    assert backend.announcement == "back end torch (there are no fused kernels for mps.)"
    with pytest.raises(UsageError, match="'fused' on mps: there are no fused kernels for mps"):
        choose_backend("fused", "mps", work="Supernet", obstacle="float64.")


def test_an_unknown_back_end_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown Supernet backend 'fuse'; did you mean 'fused'"):
        choose_backend("fuse", "cpu", work="Supernet")
