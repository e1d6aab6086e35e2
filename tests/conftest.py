"""What all tests share."""

import pytest
import torch


def pytest_collection_modifyitems(items):
    """Skip tests that need a GPU where there is none, and say so."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)
