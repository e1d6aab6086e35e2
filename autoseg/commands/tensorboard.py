"""What a run logs, in TensorBoard as well, while it happens: `--tensorboard`."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from autoseg.distributed import is_first_process
from autoseg.errors import UsageError

FOLDER_NAME = "tensorboard"
"""TensorBoard's files, in the run folder."""

Add = Callable[[Mapping[str, Any]], None]
"""Takes a logged line: numbers by name, with the `step` that they are of."""


def require_tensorboard(is_wanted: bool) -> None:
    """Refuse `--tensorboard` where the package is not installed, before anything is done.

    Raises:
        UsageError: With what to install.
    """
    if is_wanted:
        _writer_class()


@contextmanager
def mirrored(folder: Path, *, is_wanted: bool) -> Iterator[Add]:
    """Write to a run folder's TensorBoard what is handed over, and in the end the run's pictures.

    Where several processes do one job, the first one writes.

    Args:
        folder: The run folder.
        is_wanted: Whether the user asked for it; if not, nothing is written.

    Yields:
        What takes each logged line. Numbers become scalars at the line's step; what is no number is
        passed over, as it stands in metrics.jsonl.

    Raises:
        UsageError: If TensorBoard is not installed.
    """
    if not (is_wanted and is_first_process()):
        yield lambda _: None
        return
    writer = _writer_class()(str(folder / FOLDER_NAME))
    step = 0

    def add(line: Mapping[str, Any]) -> None:
        nonlocal step
        step = int(line.get("step", step))
        for name, value in line.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and name != "step" and math.isfinite(value):
                writer.add_scalar(name, value, step)

    try:
        yield add
    finally:
        for path in sorted((folder / "figures").glob("*.png")):
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            writer.add_image(f"figures/{path.stem}", pixels, step, dataformats="HWC")
        writer.close()


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # late: it is an extra, and slow
    except ImportError as error:
        raise UsageError(
            f"--tensorboard needs the package tensorboard, which is not installed ({error}): "
            'pip install "autoseg-nas[tensorboard]", or leave the option out; metrics.jsonl holds '
            "the same numbers."
        ) from error
    return SummaryWriter
