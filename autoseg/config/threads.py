"""How many threads of the CPU what is timed may use."""

from dataclasses import dataclass
from typing import Annotated

from autoseg.config.ranges import Range


@dataclass(frozen=True, kw_only=True)
class ThreadConfig:
    """Threads that timings are taken with, whatever the environment says."""

    threads: Annotated[int, Range(low=1, high=1024)] | None = None
    """Threads of the CPU that an operator may use, in torch as in the other back ends; none: as
    many as torch takes, which OMP_NUM_THREADS decides, else the number of cores."""
