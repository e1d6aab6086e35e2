"""What a run logs, in TensorBoard as well, while it happens: `--tensorboard`."""

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoseg import reporting
from autoseg.distributed import is_first_process
from autoseg.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER_NAME = "tensorboard"
"""TensorBoard's files, in the run folder."""


def require_tensorboard(is_wanted: bool) -> None:
    """Refuse `--tensorboard` where the package is not installed, before anything is done.

    Raises:
        UsageError: With what to install.
    """
    if is_wanted:
        _writer_class()


class Board:
    """Writes what it is handed into the TensorBoard of a run folder; without a writer nothing."""

    def __init__(self, writer: Any = None) -> None:
        """Take TensorBoard's writer, or None where nobody asked for one."""
        self._writer = writer
        self._step = 0
        self._drawn: dict[str, int] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether anything is written."""
        return self._writer is not None

    def add(self, line: Mapping[str, Any]) -> None:
        """Make scalars of the numbers of a logged line, at its `step`; all else is passed over."""
        if self._writer is None:
            return
        self._step = int(line.get("step", self._step))
        for name, value in line.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and name != "step" and math.isfinite(value):
                self._writer.add_scalar(name, value, self._step)

    def add_picture(self, name: str, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Add what a picture was after a step.

        Args:
            name: As the picture in the run's figures is called.
            pixels: RGB, (H, W, 3).
            step: Steps done.
        """
        if self._writer is None:
            return
        self._drawn[name] = step
        self._writer.add_image(f"figures/{name}", pixels, step, dataformats="HWC")

    def add_figure(self, name: str, figure: "Figure", *, step: int) -> None:
        """Add what a figure was after a step; see `add_picture`."""
        with Image.open(io.BytesIO(reporting.png_bytes(figure))) as picture:
            self.add_picture(name, np.asarray(picture.convert("RGB")), step=step)

    def close(self, figures: Path) -> None:
        """Add the pictures of a folder that were not added at the last step, and end."""
        if self._writer is None:
            return
        for path in sorted(figures.glob("*.png")):
            if self._drawn.get(path.stem) != self._step:
                with Image.open(path) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                self.add_picture(path.stem, pixels, step=self._step)
        self._writer.close()


@contextmanager
def mirrored(folder: Path, *, is_wanted: bool) -> Iterator[Board]:
    """Write to a run folder's TensorBoard what is handed over, and in the end the run's pictures.

    Where several processes do one job, the first one writes.

    Args:
        folder: The run folder.
        is_wanted: Whether the user asked for it; if not, nothing is written.

    Raises:
        UsageError: If TensorBoard is not installed.
    """
    is_written = is_wanted and is_first_process()
    board = Board(_writer_class()(str(folder / FOLDER_NAME)) if is_written else None)
    try:
        yield board
    finally:
        board.close(folder / "figures")


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
