"""What the processes that share a search keep the same of its supernet."""

from autoseg.distributed import (
    average_over_processes_,
    num_processes,
    require_same,
    running_statistics,
)
from autoseg.strategies.space_kinds import AnySupernet
from autoseg.supernet import edge_statistics


def average_statistics_(supernet: AnySupernet) -> None:
    """Give all processes the mean of their running statistics after a step.

    In a step every process normalises by its own images.
    """
    if num_processes() > 1:
        average_over_processes_([*running_statistics(supernet), *edge_statistics(supernet)])


def require_same_supernet(supernet: AnySupernet, *, step: int) -> None:
    """Compare weights, alpha, beta and statistics between the processes, bit for bit.

    Raises:
        RuntimeError: In every process, if one has others than the first.
    """
    require_same("weights, alpha and beta", supernet.state_dict().values(), step=step)
