"""Loading the compiled kernels: the instruction set, one OpenMP run-time, and doing without."""

import importlib
import json
import os
import subprocess
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoseg import _native
from autoseg.errors import UsageError
from tests._native.choice import choose
from tests.fresh_process import fresh_process

ROOT = Path(__file__).parents[2]
CPUINFO = Path("/proc/cpuinfo")
LANES_F32 = {"avx512": 16, "avx2": 8, "plain": 4}  # registers of 64, 32 and 16 bytes

needs_core = pytest.mark.skipif(
    _native.missing_reason() is not None, reason="the compiled kernels are missing"
)


@pytest.fixture
def loading_anew(monkeypatch):
    """Forget what was loaded and said, and remember it after the test."""
    monkeypatch.delenv("AUTOSEG_NATIVE_DIR", raising=False)
    monkeypatch.setattr(_native, "_load", cache(_native._load.__wrapped__))


@pytest.fixture
def without_core(loading_anew, monkeypatch):
    # None in sys.modules is how Python itself spells "there is no such module".
    monkeypatch.setitem(sys.modules, "autoseg._native._core", None)


@pytest.fixture(scope="module")
def loaded():
    """Load the kernels as a program does, where nothing is imported, and tell what is loaded."""
    environment = {name: value for name, value in os.environ.items() if name != "AUTOSEG_ISA"}
    result = subprocess.run(
        [sys.executable, "-c", SHOW],
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return json.loads(result.stdout)


def chosen(**environment):
    """Choose in a fresh process; variables of its environment are given."""
    with fresh_process(**environment) as process:
        return process.submit(choose).result()


def isas_by_cpuinfo():
    """List the instruction sets that the kernel of the operating system reports, best first."""
    (flags, *_) = [line for line in CPUINFO.read_text().splitlines() if line.startswith("flags")]
    has = set(flags.split()).issuperset
    isas = ["plain"]
    if has({"avx2", "fma"}):
        isas.insert(0, "avx2")
        if has({"avx512f", "avx512vl", "avx512dq", "avx512bw"}):
            isas.insert(0, "avx512")
    return isas


SHOW = """
import json
from pathlib import Path
from autoseg import _native
core = _native.core()
maps = Path("/proc/self/maps")
loaded = {
    "isa": core.isa(),
    "lanes": [core.lanes("float32"), core.lanes("float64")],
    "present": core.present_isas(),
    "has_openmp": core.has_openmp(),
    "maps": maps.read_text() if maps.exists() else None,
}
print(json.dumps(loaded))
"""


@needs_core
@pytest.mark.skipif(
    not CPUINFO.exists() or "\nflags" not in CPUINFO.read_text(), reason="needs Linux on x86"
)
def test_the_best_instruction_set_of_the_processor_is_chosen(loaded):
    isas = isas_by_cpuinfo()
    lanes = LANES_F32[isas[0]]
    assert loaded["present"] == isas
    assert (loaded["isa"], loaded["lanes"]) == (isas[0], [lanes, lanes // 2])
    # An empty variable forces nothing.
    assert chosen(AUTOSEG_ISA="")[:2] == (isas[0], (lanes, lanes // 2))


@needs_core
@pytest.mark.parametrize("isa", LANES_F32)
def test_a_lower_instruction_set_can_be_forced(isa):
    if isa not in _native.core().present_isas():
        pytest.skip(f"this processor has no {isa}")
    lanes = LANES_F32[isa]
    assert chosen(AUTOSEG_ISA=isa)[:2] == (isa, (lanes, lanes // 2))


@needs_core
def test_an_unknown_instruction_set_is_an_error_that_names_the_known():
    present = ", ".join(_native.core().present_isas())
    with pytest.raises(UsageError) as raised:
        chosen(AUTOSEG_ISA="sse9")
    assert str(raised.value) == (
        "AUTOSEG_ISA='sse9': no such instruction set; "
        f"it may be {present}. Without it the best is chosen."
    )


@needs_core
def test_an_instruction_set_that_the_processor_lacks_is_an_error():
    lacking = LANES_F32.keys() - set(_native.core().present_isas())
    if not lacking:
        pytest.skip("this processor has all of them")
    for isa in lacking:
        with pytest.raises(UsageError, match=f"^AUTOSEG_ISA='{isa}': this processor lacks it; it "):
            chosen(AUTOSEG_ISA=isa)


@needs_core
def test_lanes_of_another_dtype_are_an_error():
    with pytest.raises(ValueError, match=r"dtype 'int8' is neither float32 nor float64"):
        _native.core().lanes("int8")


@needs_core
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_torch_and_the_kernels_share_one_openmp_run_time(loaded):
    assert loaded["has_openmp"]
    mapped = {line.split()[-1] for line in loaded["maps"].splitlines() if "libgomp" in line}
    assert len(mapped) == 1, mapped


@needs_core
def test_a_named_build_is_the_one_that_is_loaded(tmp_path):
    built = Path(_native.core().__file__)
    (tmp_path / built.name).write_bytes(built.read_bytes())
    assert chosen(AUTOSEG_NATIVE_DIR=str(tmp_path))[2] == str(tmp_path / built.name)


@pytest.mark.usefixtures("loading_anew")
def test_a_named_build_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOSEG_NATIVE_DIR", str(tmp_path))
    with pytest.raises(UsageError) as raised:
        _native.core()
    assert str(raised.value) == (
        f"AUTOSEG_NATIVE_DIR='{tmp_path}': no _core module for this Python is there."
    )
    # Nor does one that cannot be loaded give way to another.
    (tmp_path / f"_core{EXTENSION_SUFFIXES[0]}").write_bytes(b"")
    importlib.invalidate_caches()
    with pytest.raises(ImportError):
        _native.core()


@pytest.mark.usefixtures("without_core")
def test_missing_kernels_say_how_to_get_them():
    assert _native.core() is None
    assert _native.missing_reason() == (
        "Installing autoseg again where there are a C++20 compiler (g++ or clang++) and Python's "
        "headers builds them; `pip install -v` shows why it could not."
    )


@pytest.mark.usefixtures("loading_anew")
@pytest.mark.parametrize("attributes", [{}, {"interface": _native.INTERFACE - 1}])
def test_kernels_of_another_version_count_as_missing(monkeypatch, attributes):
    module = SimpleNamespace(**attributes)
    monkeypatch.setattr(_native.importlib, "import_module", lambda name: module)
    assert _native.core() is None
    reason = "Those at hand are of another version; install autoseg again."
    assert _native.missing_reason() == reason


@pytest.mark.usefixtures("loading_anew")
def test_kernels_that_cannot_be_loaded_count_as_missing(monkeypatch):
    def fail(name):
        raise ImportError(f"{name}: version 'GOMP_9.0' not found")

    monkeypatch.setattr(_native.importlib, "import_module", fail)
    assert _native.core() is None
    assert _native.missing_reason() == (
        "They were built but cannot be loaded; install autoseg again. "
        "(autoseg._native._core: version 'GOMP_9.0' not found)"
    )


@needs_core
def test_nothing_is_missing_where_the_kernels_are_there():
    assert _native.missing_reason() is None
