"""Make sure that processes that must hold the same numbers do."""

import hashlib
from collections.abc import Iterable

from torch import Tensor

from autoseg.distributed.group import from_all, num_processes


def require_same(what: str, tensors: Iterable[Tensor], *, step: int) -> None:
    """Compare tensors between the processes, bit for bit.

    Args:
        what: Name of the tensors, plural, for the message.
        tensors: The same number and shapes in every process.
        step: Steps done, for the message.

    Raises:
        RuntimeError: In every process, if one has others than the first.
    """
    if num_processes() == 1:
        return
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().flatten().numpy().tobytes())
    digests = from_all(digest.hexdigest())
    different = [rank for rank, other in enumerate(digests) if other != digests[0]]
    if different:
        listed = ", ".join(map(str, different))
        raise RuntimeError(
            f"after step {step} the {what} of process {listed} differ from those of process 0, "
            "where they must be the same bit for bit: use one kind of device, and one version of "
            "torch, for all processes. Nothing was saved since the last checkpoint."
        )
