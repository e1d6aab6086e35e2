"""How far a loop is and how long it still takes, on a terminal and in a log file."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TextIO

from autoseg.runs.closing import Closing
from autoseg.runs.progress_line import ProgressState, columns, plain_line, terminal_line
from autoseg.runs.reckoning import Reckoning

COMPILING = "the first step compiles kernels"
"""What a loop on a GPU is `starting` with."""

_REDRAW_S = 0.1
_LONG_PHASE_S = 3.0
"""A phase between two steps that lasts longer gets plain lines of its own."""
_FREQUENT, _SPARSE = 60, 6
"""After so many intervals plain lines come so many times less often."""
_UNKNOWN_WIDTH = 80


class Progress(Closing):
    """Show progress: a live line on a terminal, plain lines elsewhere; use as a context manager."""

    def __init__(
        self,
        total: int,
        *,
        description: str,
        unit: str = "step",
        initial: int = 0,
        starting: str = "",
        reckoning: Reckoning | None = None,
        stream: TextIO | None = None,
        interval_s: float = 10.0,
    ) -> None:
        """Start the clock.

        Args:
            total: Steps when all is done.
            description: What the loop does, one or two words.
            unit: What is counted, singular.
            initial: Steps already done, by the run that this one resumes; not in the rate.
            starting: What takes time before the first step is done, such as compiling kernels; it
                is said at once.
            reckoning: What all steps were reckoned to take; a line says if they take much longer.
            stream: Where to write; None is standard error.
            interval_s: Seconds between two plain lines, and from sixty such on between every sixth;
                the first and the last step always get one.
        """
        self.total = total
        self.num_done = initial
        self._initial = initial
        self._description = description
        self._unit = unit
        self._reckoning = reckoning
        self._stream = sys.stderr if stream is None else stream
        self._interval_s = interval_s
        self._start_s = monotonic()
        self._shown: dict[str, float | int | str] = {}
        self._phase = starting
        self._last_s: float | None = None  # when a line was printed or drawn
        self._last_line_at: int | None = None
        self._is_live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._num_columns = 0  # of the line that is drawn
        self._is_closed = False
        if self._is_live:
            self._draw()
        elif starting:
            self._print_line()
            self._last_s = None  # the first step gets a line all the same

    def update(self, n: int = 1, **shown: float | int | str) -> None:
        """Count steps that were done.

        Args:
            n: How many.
            shown: Values to print beside the counts, the most important first; they stay until
                given anew.
        """
        self.num_done += n
        self._shown.update(shown)
        self._phase = ""
        self._show()
        if self._reckoning is not None and n > 0:
            surprise = self._reckoning.surprise(self.num_done, total=self.total, now_s=monotonic())
            if surprise is not None:
                self.write(f"{self._description}: {surprise}")

    @contextmanager
    def phase(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Say what is done between two steps, if it takes longer than a few seconds.

        Args:
            what: What is done, for example "validating".

        Yields:
            A function to call, after each item of the phase, with the number done and in all.
        """
        began_s, num_shown = monotonic(), 0

        def on_item(num_done: int, num_items: int) -> None:
            nonlocal num_shown
            self._phase = f"{what} {num_done}/{num_items}"
            if self._is_live:
                self._show()
            elif monotonic() - began_s >= _LONG_PHASE_S and (num_shown == 0 or self._is_due()):
                self._print_line()
                num_shown += 1

        self._phase = what
        if self._is_live:
            self._draw()
        try:
            yield on_item
        finally:
            self._phase = ""

    def write(self, line: str) -> None:
        """Print a line of its own, above the live one where there is one.

        Args:
            line: The text, without a line end.
        """
        if not self._is_live or self._is_closed:
            print(line, file=self._stream, flush=True)
            return
        self._replace("")
        self._stream.write("\r" + line)
        self._end_line()
        self._draw()

    def close(self) -> None:
        """Show where the loop stands and stop; a second call does nothing."""
        if self._is_closed:
            return
        if self._is_live:
            self._draw()
            self._end_line()
        elif self._last_line_at != self.num_done:
            self._print_line()
        self._is_closed = True

    def _show(self) -> None:
        if not self._is_due():
            return
        if self._is_live:
            self._draw()
        else:
            self._print_line()

    def _is_due(self) -> bool:
        if self._last_s is None:
            return True
        now_s = monotonic()
        if self._is_live:
            return now_s - self._last_s >= _REDRAW_S
        is_long = now_s - self._start_s >= _FREQUENT * self._interval_s
        return now_s - self._last_s >= self._interval_s * (_SPARSE if is_long else 1)

    def _print_line(self) -> None:
        self.write(plain_line(self._state()))
        self._last_s = monotonic()
        self._last_line_at = self.num_done

    def _draw(self) -> None:
        self._replace(terminal_line(self._state(), self._width()))
        self._last_s = monotonic()

    def _replace(self, text: str) -> None:
        """Write over the line that is drawn."""
        num_columns = columns(text)
        # Blanks, not an escape code: every terminal knows them.
        self._stream.write("\r" + text + " " * (self._num_columns - num_columns))
        self._num_columns = num_columns
        self._stream.flush()

    def _end_line(self) -> None:
        self._stream.write("\n")
        self._stream.flush()
        self._num_columns = 0

    def _width(self) -> int:
        try:
            width = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            width = 0
        # A terminal behind a serial line or in a container may call itself 0 columns wide.
        return width or _UNKNOWN_WIDTH

    def _state(self) -> ProgressState:
        return ProgressState(
            description=self._description,
            unit=self._unit,
            num_done=self.num_done,
            num_here=self.num_done - self._initial,
            total=self.total,
            elapsed_s=monotonic() - self._start_s,
            phase=self._phase,
            shown=self._shown,
        )
