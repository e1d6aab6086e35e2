"""What all tests share."""

import gc
import os
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import settings

from autoseg import user_imports
from tests import fuzzing, quick
from tests.one_pixel import one_pixel_figures
from tests.streets import streets_drawn_once

OWN_TESTS_OF_DATA = Path(__file__).with_name("data")

settings.load_profile(fuzzing.SUITE)  # `--hypothesis-profile` wins: it is read after this
# What helpers assert is told as fully as what tests do, whichever test imports them first.
pytest.register_assert_rewrite("tests.strategies.contract")


def pytest_addoption(parser):
    """Add `--quick`."""
    quick.add_options(parser)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own hook takes `load` where nothing is chosen
def pytest_cmdline_main(config):
    """Give each of pytest-xdist's processes a run of neighbours, which share what is set up."""
    if config.getoption("numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def pytest_configure(config):
    """Share the cores among pytest-xdist's processes, and those that tests start."""
    gc.disable()  # until all is collected
    # Threads that wait for others leave the core to other tests. Read when a process starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if config.option.measure_quick and not hasattr(config, "workerinput"):  # not in each process
        listed = quick.names() if config.option.quick else ()
        config.pluginmanager.register(quick.Stopwatch(listed))
    num_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if num_processes > 1:
        num_threads = max(1, (os.cpu_count() or 1) // num_processes)
        os.environ.setdefault("OMP_NUM_THREADS", str(num_threads))
        torch.set_num_threads(num_threads)


def pytest_collection_modifyitems(config, items):
    """Leave out what takes long, if asked to; skip what needs a GPU where there is none."""
    if config.option.quick:
        quick.leave_out(config, items)
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


def pytest_collection_finish():
    """Spare the garbage collector the modules and tests, which last as long as the process."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure():
    """Let modules that are written in C++ see their objects freed."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk():
    """Leave files in the system's memory: no test's have to survive a power cut."""
    with mock.patch.object(os, "fsync", lambda descriptor: None):
        yield


@pytest.fixture(scope="module", autouse=True)
def streets(request):
    """Draw each of the embedded dataset's streets once, but for the dataset's own tests."""
    if request.path.is_relative_to(OWN_TESTS_OF_DATA):
        yield
        return
    with streets_drawn_once():
        yield


@pytest.fixture(scope="module")
def figures_of_one_pixel():
    """Save no figure in the tests of a module, as `one_pixel` says."""
    with one_pixel_figures():
        yield


@pytest.fixture
def no_warm_up(monkeypatch):
    """Let `compare` time without waiting for times that settle, whatever else the machine does."""
    from autoseg.commands import compare
    from autoseg.comparison import TimingConfig

    quick = partial(TimingConfig, max_warm_up_seconds=0.0, max_drift=1e9)
    monkeypatch.setattr(compare, "TimingConfig", quick)


@pytest.fixture
def short_split(monkeypatch):
    """Leave the embedded dataset a few images to score, for tests that score a whole split."""
    from autoseg.data import synthetic

    monkeypatch.setitem(synthetic.DEFAULT_LENGTH, "val", 7)


@pytest.fixture
def memory_folder():
    """Give a folder in memory, where there is one, to tests that write thousands of files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def imports_end_with_the_test():
    """Forget what a test imported by a command line: next steps of other tests would name it."""
    before = user_imports.imported()
    yield
    user_imports._imported[:] = before
