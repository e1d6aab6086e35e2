"""Seeds, and the state of the generators, so that resuming equals never stopping."""

import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from autoseg.distributed import from_all, process_rank
from autoseg.errors import UsageError


def seed_everything(seed: int) -> None:
    """Seed Python's and torch's global generators, those of every CUDA device included.

    numpy's global generator is left alone: nothing here draws from it.

    Args:
        seed: In [0, 2**63).

    Every process of a job is seeded alike, and builds the same weights; see `own_randomness`.

    Raises:
        UsageError: If the seed is out of range.
    """
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed} is out of range: it must be in [0, 2**63).")
    random.seed(seed)
    torch.manual_seed(seed)


def own_randomness(seed: int) -> None:
    """Let each process of a job draw its own random numbers from here on, as dropout wants.

    The first goes on with what it has, like a process that is alone.
    """
    if rank := process_rank():
        words = np.random.SeedSequence((seed, rank)).generate_state(1, np.uint64)
        seed_everything(int(words[0]) >> 1)


def rng_state() -> dict[str, Any]:
    """Read the state of the generators that `seed_everything` seeds.

    Returns:
        `python` (nested tuples of integers), `cpu` (uint8 tensor) and `cuda` (a uint8 tensor for
        each device; empty if this process has not used CUDA). Where several processes do one
        job, those of the first, and `others`: a list of the same for each of the others. A
        checkpoint can hold it.
    """
    # is_initialized, not is_available: asking every device for its state would start CUDA.
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    own = {"python": random.getstate(), "cpu": torch.get_rng_state(), "cuda": cuda}
    first, *others = from_all(own)
    return {**first, "others": others} if others else first


def restore_rng_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to where `rng_state` found them.

    Args:
        state: What `rng_state` returned; its tensors may be on any device.

    Warns:
        UserWarning: If the state has CUDA devices that this machine lacks.
    """
    rank = process_rank()
    state = state["others"][rank - 1] if rank else state
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words), gauss_next))
    # A checkpoint loaded with map_location moves these to the GPU; torch wants them on the CPU.
    torch.set_rng_state(state["cpu"].cpu())
    saved = state["cuda"]
    num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if len(saved) > num_devices:
        warnings.warn(
            f"random state of {len(saved)} CUDA devices was saved, this machine has {num_devices}: "
            "the run goes on with other random numbers than it would have had there.",
            stacklevel=2,
        )
    for index in range(min(len(saved), num_devices)):
        torch.cuda.set_rng_state(saved[index].cpu(), index)
