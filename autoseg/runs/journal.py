"""A journal of Optuna's trials, in Optuna's own format, that survives a kill.

Optuna's own backend stops for good at a last line that a kill has cut.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from autoseg.errors import FileError
from autoseg.foreign_text import printable
from autoseg.runs import schema
from autoseg.runs.closing import Closing
from autoseg.runs.json_lines import JsonLines

_LINE = schema.fields(required={"op_code": schema.whole(), "worker_id": schema.text})


class Journal(BaseJournalBackend, Closing):
    """Lines of a file that is verified when it is opened, from a bookmark on.

    The file is one process's at a time: the caller holds a lock on it.
    """

    def __init__(self, path: Path, *, remedy: str) -> None:
        """Open the file, or begin it.

        Args:
            path: The file.
            remedy: What the user can do about a damaged file.

        Warns:
            UserWarning: If the last line was cut off; it is dropped.

        Raises:
            FileError: If another line is damaged; names it and the remedy.
        """
        self.path = path
        self.remedy = remedy
        self._lines = JsonLines(path, check=_LINE, remedy=remedy)

    @property
    def num_lines(self) -> int:
        """Lines in the file."""
        return len(self._lines.values)

    def keep(self, num_lines: int) -> None:
        """Forget the lines after the first `num_lines`.

        Raises:
            FileError: If there are not so many.
        """
        if self.num_lines < num_lines:
            raise FileError(
                f"{printable(str(self.path))} has {self.num_lines} lines, and had {num_lines} when "
                f"it was last saved; {self.remedy}."
            )
        self._lines.truncate(num_lines)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Give the lines from a number on, as Optuna asks for them."""
        yield from self._lines.values[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines, and wait until the disk has them."""
        self._lines.append(*logs)
        self._lines.sync()

    def close(self) -> None:
        """Close the file."""
        self._lines.close()
