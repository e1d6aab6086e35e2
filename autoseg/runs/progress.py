"""How far a loop is and how long it still takes, on a terminal and in a log file."""

import sys
from time import monotonic
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm


class _Bar(tqdm):
    # 0: no monitor thread. Data loaders fork, and forking a process that has threads may deadlock.
    monitor_interval = 0


class Progress:
    """Show progress: a live bar on a terminal, plain lines elsewhere; use as a context manager."""

    def __init__(
        self,
        total: int,
        *,
        description: str,
        unit: str = "step",
        initial: int = 0,
        stream: TextIO | None = None,
        interval_s: float = 10.0,
    ) -> None:
        """Start the clock.

        Args:
            total: Steps when all is done.
            description: What the loop does, one or two words.
            unit: What is counted, singular.
            initial: Steps already done, by the run that this one resumes; not in the rate.
            stream: Where to write; None is standard error.
            interval_s: Seconds between two plain lines; the first and the last step always get one.
        """
        self.total = total
        self.num_done = initial
        self._initial = initial
        self._description = description
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._interval_s = interval_s
        self._start_s = monotonic()
        self._shown: dict[str, float | int | str] = {}
        self._last_line_s: float | None = None
        self._last_line_at: int | None = None
        self._bar = None
        if self._stream.isatty():
            self._bar = _Bar(
                total=total,
                desc=description,
                unit=unit,
                initial=initial,
                file=self._stream,
                dynamic_ncols=True,
                miniters=1,
            )

    def update(self, n: int = 1, **shown: float | int | str) -> None:
        """Count steps that were done.

        Args:
            n: How many.
            shown: Values to print beside the counts; they stay until given anew.
        """
        self.num_done += n
        self._shown.update(shown)
        if self._bar is not None:
            self._bar.set_postfix_str(self._shown_text(), refresh=False)
            self._bar.update(n)
            return
        now_s = monotonic()
        if self._last_line_s is None or now_s - self._last_line_s >= self._interval_s:
            self._print_line(now_s)

    def write(self, line: str) -> None:
        """Print a line of its own, above the bar where there is one.

        Args:
            line: The text, without a line end.
        """
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Show where the loop stands and stop; a second call does nothing."""
        if self._bar is not None:
            self._bar.close()
        elif self._last_line_at != self.num_done:
            self._print_line(monotonic())

    def __enter__(self) -> Self:
        """Return the progress."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _print_line(self, now_s: float) -> None:
        elapsed_s = now_s - self._start_s
        parts = [f"{self._description}: {self.num_done}/{self.total} {self._unit}s"]
        num_here = self.num_done - self._initial
        if num_here > 0 and elapsed_s > 0:
            parts.append(_rate_text(num_here / elapsed_s, self._unit))
        parts.append(f"{tqdm.format_interval(elapsed_s)} elapsed")
        if num_here > 0:
            left_s = elapsed_s / num_here * max(self.total - self.num_done, 0)
            parts.append(f"{tqdm.format_interval(left_s)} left")
        if self._shown:
            parts.append(self._shown_text())
        self.write(", ".join(parts))
        self._last_line_s = now_s
        self._last_line_at = self.num_done

    def _shown_text(self) -> str:
        return ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self._shown.items()
        )


def _rate_text(rate: float, unit: str) -> str:
    # A slow loop reads better as seconds a step.
    return f"{rate:.2f} {unit}s/s" if rate >= 1 else f"{1 / rate:.2f} s/{unit}"
