"""What a loop was reckoned to take, held against the speed of its first steps."""

from autoseg.runs.progress_line import duration

_MIN_STEPS = 20
_MIN_SECONDS = 20.0
"""Both are waited for, behind the first step, before a speed is believed."""
_MAX_RATIO = 1.5
"""Factor on the time that was reckoned up to which it is called right."""


class Reckoning:
    """A time from a plan, which knows the machine by a nominal speed alone; told of steps.

    A plan counts steps by a speed that was measured elsewhere, so that it does not depend on what
    else runs. What the steps really take is known once some are done, and is said if it is much
    more.
    """

    def __init__(self, seconds: float, *, advice: str) -> None:
        """Keep what was reckoned.

        Args:
            seconds: For all steps, from the first on.
            advice: What someone can do who has not the time, half a sentence.
        """
        self._seconds = seconds
        self._advice = advice
        self._first: tuple[int, float] | None = None
        self._is_over = False

    def surprise(self, num_done: int, *, total: int, now_s: float) -> str | None:
        """Look at the speed so far, and say once that all will take much longer.

        Args:
            num_done: Steps that are done; the first that is told of sets up what is done once, and
                is not in the speed.
            total: All steps.
            now_s: Seconds since any fixed moment.

        Returns:
            A sentence; None before the speed is known, where it is as reckoned, and afterwards.
        """
        if self._is_over:
            return None
        if self._first is None:
            self._first = num_done, now_s
        num_steps, seconds = num_done - self._first[0], now_s - self._first[1]
        if num_steps < _MIN_STEPS or seconds < _MIN_SECONDS:
            return None
        self._is_over = True
        all_s = seconds / num_steps * total
        if all_s <= _MAX_RATIO * self._seconds:
            return None
        return (
            f"at the speed of its first {num_steps:,} steps all {total:,} take about "
            f"{duration(round(all_s))}, where {duration(self._seconds)} were reckoned for an idle "
            f"machine; {self._advice}"
        )
