"""metrics.jsonl: one JSON object a line, a line a logged step."""

import contextlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg.atomic import write_error
from autoseg.runs.json_values import to_json
from autoseg.runs.record import now

METRICS_NAME = "metrics.jsonl"


class MetricsLog:
    """Append lines to metrics.jsonl; after a kill the file holds whole lines only."""

    def __init__(self, folder: Path) -> None:
        """Open the file, creating it if need be, and drop a last line that a kill cut off.

        Args:
            folder: The run folder.
        """
        self.path = folder / METRICS_NAME
        # Unbuffered: a line is one write, so a reader or a kill sees it whole.
        self._file = self.path.open("ab", buffering=0)
        content = self.path.read_bytes()
        self.num_bytes = content.rfind(b"\n") + 1
        self._file.truncate(self.num_bytes)

    def append(self, metrics: Mapping[str, object]) -> None:
        """Write one line.

        Args:
            metrics: Numbers, strings, lists and dictionaries by name; NaN becomes null, infinity is
                refused. "time" is added: ISO 8601, UTC.

        Raises:
            ValueError: If a number is infinite or the name "time" is used.
            TypeError: If a value has no JSON form.
            OSError: If the disk is full; the lines before it are untouched.
        """
        if "time" in metrics:
            raise ValueError("log: the name 'time' is taken; call yours duration_s, for example.")
        values = to_json(metrics, where="metrics")
        assert isinstance(values, dict)
        line = json.dumps({"time": now(), **values}, allow_nan=False, ensure_ascii=False) + "\n"
        data = line.encode()
        try:
            written = self._file.write(data)
            if written != len(data):  # a disk that fills up in the middle of a line says so here
                raise OSError(None, f"only {written} of {len(data)} bytes fitted on the disk")
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self.num_bytes)
            raise write_error(self.path, error) from error
        self.num_bytes += len(data)

    def sync(self) -> None:
        """Make sure that the lines written so far survive a power cut.

        Raises:
            OSError: If the disk refuses them.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def truncate(self, num_bytes: int) -> None:
        """Forget the lines after a position, because their steps are about to be done again.

        Args:
            num_bytes: Length to keep; that of a checkpoint.

        Warns:
            UserWarning: If the file is already shorter, so that lines are missing.
        """
        if num_bytes > self.num_bytes:
            warnings.warn(
                f"{self.path} has {self.num_bytes} bytes, its checkpoint knew {num_bytes}: lines "
                "were lost; curves drawn from it have a gap.",
                stacklevel=3,
            )
            return
        self._file.truncate(num_bytes)
        self.num_bytes = num_bytes

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def load_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of a run's metrics.jsonl, in the order in which they were logged.

    Args:
        folder: The run folder.

    Returns:
        One dictionary a line; empty if nothing was logged. A last line that a kill cut off is left
        out.
    """
    path = Path(folder) / METRICS_NAME
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]
