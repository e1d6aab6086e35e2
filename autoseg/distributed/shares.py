"""Which part of the work is this process's."""

from collections.abc import Sequence

from autoseg.distributed.group import num_processes, process_rank
from autoseg.errors import UsageError


def own_positions(batch_size: int) -> slice:
    """Return the places in a batch of the images that this process sees.

    Args:
        batch_size: Images of the whole batch, which all processes share evenly.

    Raises:
        UsageError: If they cannot.
    """
    number, rank = num_processes(), process_rank()
    share, rest = divmod(batch_size, number)
    if rest or share == 0:
        fitting = f"{share * number} or {(share + 1) * number}" if share else f"{number}"
        raise UsageError(
            f"batch_size = {batch_size}: {number} processes cannot share so many images evenly; "
            f"use --batch-size {fitting}."
        )
    return slice(rank * share, (rank + 1) * share)


def own_indices(indices: Sequence[int]) -> Sequence[int]:
    """Return this process's share of some images: neighbours, as many as others' or one less."""
    number, rank = num_processes(), process_rank()
    start, end = (len(indices) * place // number for place in (rank, rank + 1))
    return indices[start:end]
