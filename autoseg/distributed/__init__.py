"""Several processes that do one job: torchrun starts them, each takes its share of every batch.

Nothing here acts in a process that is alone: a loop reads the same with and without others. What
the functions promise holds only where all processes call them, in one order.
"""

from autoseg.distributed.agreement import require_same
from autoseg.distributed.batch_norm import SyncedBatchNorm2d, running_statistics, sync_batch_norm_
from autoseg.distributed.gradients import average_over_processes_, sum_gradients_
from autoseg.distributed.group import (
    any_process,
    from_all,
    from_first,
    is_first_process,
    joined,
    num_processes,
    process_rank,
    sum_over_processes,
    wait_for_all,
)
from autoseg.distributed.shares import own_indices, own_positions

__all__ = [
    "SyncedBatchNorm2d",
    "any_process",
    "average_over_processes_",
    "from_all",
    "from_first",
    "is_first_process",
    "joined",
    "num_processes",
    "own_indices",
    "own_positions",
    "process_rank",
    "require_same",
    "running_statistics",
    "sum_gradients_",
    "sum_over_processes",
    "sync_batch_norm_",
    "wait_for_all",
]
