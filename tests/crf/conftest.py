"""What tests of the Triton kernels share."""

import pytest
import torch

from tests.triton_process import call, interpreting_process


@pytest.fixture(scope="session")
def on_device():
    """Call a function, of a module that can be imported, where the kernels run."""
    if torch.cuda.is_available():
        yield lambda function, *arguments, **options: call(function, "cuda", arguments, options)
        return
    with interpreting_process() as process:
        yield lambda function, *arguments, **options: process.submit(
            call, function, "cpu", arguments, options
        ).result()
