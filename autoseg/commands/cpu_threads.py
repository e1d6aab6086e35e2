"""The number of threads that a command's timings are taken with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from autoseg.errors import UsageError


@contextmanager
def pinned_threads(threads: int | None, device: torch.device) -> Iterator[None]:
    """Let operators on the CPU use so many threads, and afterwards as many as before.

    Args:
        threads: How many; None leaves torch's number.
        device: Where what is timed runs.

    Raises:
        UsageError: If they are given for a GPU, whose times they do not decide.
    """
    if threads is None:
        yield
        return
    if device.type != "cpu":
        raise UsageError(
            f"--threads {threads}: the device is {device}, and threads are the CPU's; leave it "
            "out, or use --device cpu."
        )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
