"""What all tests share."""

import os
import tempfile
from pathlib import Path

import pytest
import torch


def pytest_configure():
    """Share the cores among pytest-xdist's processes, and those that tests start."""
    num_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if num_processes > 1:
        num_threads = max(1, (os.cpu_count() or 1) // num_processes)
        os.environ.setdefault("OMP_NUM_THREADS", str(num_threads))
        torch.set_num_threads(num_threads)


def pytest_collection_modifyitems(items):
    """Skip tests that need a GPU where there is none, and say so."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def memory_folder():
    """Give a folder in memory, where there is one, to tests that write thousands of files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)
