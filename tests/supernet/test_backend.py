"""Which kernels evaluate the source operations."""

import pytest

from autoseg._native import core
from autoseg.errors import UsageError
from autoseg.supernet import Supernet
from autoseg.supernet.backend import source_kernels
from tests.supernet.test_supernet import small_space


def test_plain_operators_have_no_kernels():
    assert source_kernels("torch", "cpu") is None
    assert source_kernels("auto", "mps") is None


@pytest.mark.skipif(core() is None, reason="the compiled kernels are missing")
def test_the_cpu_has_compiled_kernels_one_object_for_all_calls():
    from autoseg.supernet.native import NativeSourceKernels

    kernels = source_kernels("fused", "cpu")
    assert isinstance(kernels, NativeSourceKernels)
    assert source_kernels("auto", "cpu") is kernels


def test_an_unknown_back_end_is_refused_at_once():
    with pytest.raises(UsageError, match=r"unknown Supernet backend 'fuse'; did you mean 'fused'"):
        Supernet(small_space(), num_classes=3, backend="fuse")
