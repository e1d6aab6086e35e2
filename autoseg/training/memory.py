"""What to do about memory that does not suffice."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from autoseg.config import RecipeConfig, TrainingConfig
from autoseg.cost import is_out_of_memory
from autoseg.data.lost_worker import explaining_lost_workers


class OutOfMemoryError(RuntimeError):
    """A step that does not fit into memory; the message names the settings to lower."""


@contextmanager
def explaining_memory(config: RecipeConfig) -> Iterator[None]:
    """Say which settings to lower, and how far, where memory runs out inside.

    A step's maps take memory in proportion to the pixels of its batch; what else there is (weights,
    their optimizer, the device's libraries) stays, so that half of the pixels is the first thing to
    try.

    Raises:
        OutOfMemoryError: In place of what torch or NumPy raise for it.
        RuntimeError: If a process that prepares batches was ended, as happens when memory runs out.
    """
    try:
        with explaining_lost_workers(
            "go on with --resume, and with fewer --num-workers if it happens again"
        ):
            yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = (str(error).strip() or "no memory left").splitlines()[0].rstrip(".")
        height, width = config.crop_size
        raise OutOfMemoryError(
            f"a step of {config.batch_size} image(s) with crops of {height} x {width} does not fit "
            f"into memory ({reason}). {_lower_memory(config)} What was saved is whole: where "
            "another program took the memory, go on with --resume."
        ) from error


def _lower_memory(config: RecipeConfig) -> str:
    """Return a sentence that says which settings to lower, and how far."""
    height, width = (max(1, round(side / math.sqrt(2))) for side in config.crop_size)
    ways = [f"--crop-size {height} {width}"]
    if config.batch_size > 1:
        ways.insert(0, f"--batch-size {config.batch_size // 2}")
        parts = 2 * config.accumulate if isinstance(config, TrainingConfig) else 0
        if 0 < parts <= config.batch_size:
            ways.insert(0, f"--accumulate {parts} (the same batch)")
    return f"About half as much is needed with {' or '.join(ways)}."
