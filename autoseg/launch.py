"""What torchrun tells a process of the others that do the same job; needs no torch."""

import os
from dataclasses import dataclass

from autoseg.errors import UsageError

_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """The place of this process among those of its job."""

    rank: int = 0
    """Number of this process, from 0; the first one writes and speaks for all."""
    num_processes: int = 1
    """Processes of the job, on all machines."""
    local_rank: int = 0
    """Number among the processes on this machine: the process uses the GPU of that number."""
    num_restarts: int = 0
    """How often torchrun has started the job again (`--max-restarts`)."""

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.num_processes == 1


def launch() -> Launch:
    """Read the environment that torchrun sets; a process without it is alone.

    Raises:
        UsageError: If it tells of several processes, and not all that they need to meet.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    num_restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if not world.isdecimal() or int(world) <= 1:
        return Launch(num_restarts=num_restarts)
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {world}, and {', '.join(missing)} is not set: start several processes "
            "with torchrun, which sets them all, or unset WORLD_SIZE to work in one."
        )
    return Launch(
        rank=int(os.environ["RANK"]),
        num_processes=int(world),
        local_rank=int(os.environ["LOCAL_RANK"]),
        num_restarts=num_restarts,
    )
