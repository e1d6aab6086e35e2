"""Which back end is taken, and what is said where one is not at hand."""

import pytest

from autoseg import _native
from autoseg.errors import UsageError
from autoseg.supernet import Supernet, resolve_backend
from tests.supernet.test_supernet import small_space

resolve = resolve_backend.__wrapped__  # without its cache


@pytest.fixture
def without_kernels(monkeypatch):
    monkeypatch.setattr("autoseg.supernet.backend.core", lambda: None)
    monkeypatch.setattr("autoseg.supernet.backend.missing_reason", lambda: "Install a compiler.")


def test_plain_operators_on_request():
    backend = resolve("torch", "cpu")
    assert (backend.name, backend.kernels, backend.reason) == ("torch", None, "asked for")


@pytest.mark.skipif(_native.core() is None, reason="the compiled kernels are missing")
def test_auto_takes_the_compiled_kernels_and_names_their_instruction_set():
    backend = resolve("auto", "cpu")
    assert backend.name == "fused"
    assert backend.reason == f"compiled C++ kernels for {_native.core().isa()}"


def test_auto_without_compiled_kernels_says_what_that_costs(without_kernels):
    backend = resolve("auto", "cpu")
    assert backend.name == "torch"
    assert backend.reason == (
        "the compiled kernels are missing, so a step takes several times as long. "
        "Install a compiler."
    )


def test_fused_without_compiled_kernels_is_refused(without_kernels):
    with pytest.raises(UsageError, match=r"'fused' on cpu: .* Or use --backend torch"):
        resolve("fused", "cpu")


def test_fused_on_a_device_without_kernels_is_refused():
    with pytest.raises(UsageError, match="there are no fused kernels for mps"):
        resolve("fused", "mps")


def test_an_unknown_back_end_is_refused_at_once():
    with pytest.raises(UsageError, match=r"unknown backend 'fuse'; did you mean 'fused'"):
        Supernet(small_space(), num_classes=3, backend="fuse")
