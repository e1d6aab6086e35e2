"""metrics.jsonl: one JSON object a line, a line a logged step."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg.runs.json_lines import JsonLines, read_json_lines
from autoseg.runs.json_values import to_json
from autoseg.runs.record import now
from autoseg.runs.schema import fields, mapping, number, optional, time, whole

METRICS_NAME = "metrics.jsonl"

_MEASURED = (*("loss", "learning_rate", "val_miou", "val_pixel_accuracy", "skip_share", "score"),)
_ENTROPIES = ("alpha_entropy", "beta_entropy")

_LINE = fields(
    allowed={
        "time": time,
        "step": whole(),
        "epoch": whole(),
        "sample": whole(),
        "architecture": mapping,
        # Null is a value that is not defined.
        **dict.fromkeys((*_MEASURED, *_ENTROPIES), optional(number())),
    }
)
"""What is read again, for curves and to resume; a line may hold more."""

_REMEDY = "restore the file, or delete this line: the curves then lack it, and nothing else does"


class MetricsLog:
    """Append lines to metrics.jsonl; after a kill the file holds whole lines only."""

    def __init__(self, folder: Path) -> None:
        """Open the file, creating it if need be, and drop a last line that a kill cut off.

        Args:
            folder: The run folder.

        Warns:
            UserWarning: If the last line was cut off.

        Raises:
            FileError: If another line is damaged; names it and the remedy.
            OSError: If the file cannot be written.
        """
        self._lines = JsonLines(folder / METRICS_NAME, check=_LINE, remedy=_REMEDY)
        self.path = self._lines.path

    @property
    def num_bytes(self) -> int:
        """Length of the file."""
        return self._lines.num_bytes

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one line.

        Args:
            metrics: Numbers, strings, lists and dictionaries by name; NaN becomes null, infinity is
                refused. "time" is added: ISO 8601, UTC.

        Raises:
            ValueError: If a number is infinite, the name "time" is used or a step is no number.
            TypeError: If a value has no JSON form.
            OSError: If the disk is full; the lines before it are untouched.
        """
        if "time" in metrics:
            raise ValueError("log: the name 'time' is taken; call yours duration_s, for example.")
        values = to_json(metrics, where="metrics")
        assert isinstance(values, dict)
        _LINE(values, "metrics")  # what would not be read back is not written
        self._lines.append({"time": now(), **values})

    def sync(self) -> None:
        """Make sure that the lines written so far survive a power cut.

        Raises:
            OSError: If the disk refuses them.
        """
        self._lines.sync()

    def truncate(self, num_bytes: int, *, step: int) -> None:
        """Forget the lines of steps that are about to be done again.

        Args:
            num_bytes: Length of the file when the step was done; that of a checkpoint.
            step: The step gone back to. Lines of later steps go, and so do those beyond
                `num_bytes` that state no step.

        Warns:
            UserWarning: If the file is shorter than it was, so that lines are missing.
        """
        kept = 0
        for place, values in enumerate(self._lines.values):
            line_step = values.get("step")
            is_done = self._lines.end_of(place + 1) <= num_bytes
            # By the step where there is one: a user may have deleted a line that was damaged.
            if (line_step > step) if line_step is not None else not is_done:
                break
            kept = place + 1
        self._lines.truncate(kept)
        if self.num_bytes < num_bytes:
            warnings.warn(
                f"{self.path} has {self.num_bytes} bytes, its checkpoint knew {num_bytes}: lines "
                "were lost; curves drawn from it have a gap.",
                stacklevel=3,
            )

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def load_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of a run's metrics.jsonl, in the order in which they were logged.

    Args:
        folder: The run folder.

    Returns:
        One dictionary a line; empty if nothing was logged. A last line that a kill cut off is left
        out.

    Raises:
        FileError: If a line is damaged; names it and the remedy.
    """
    path = Path(folder) / METRICS_NAME
    if not path.exists():
        return []
    return read_json_lines(path, check=_LINE, remedy=_REMEDY)
