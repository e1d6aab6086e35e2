"""How much of a search or a training is done: by steps, or by the clock."""

from fractions import Fraction
from time import monotonic, process_time

from autoseg.distributed import from_all, from_first


class Budget:
    """What a search or a training may spend.

    By steps, either is the same on every machine and however often it was stopped. By time, it
    makes as many steps as the machine manages: schedules follow the clock, and what goes on after a
    stop has what is left.
    """

    def __init__(
        self,
        *,
        num_steps: int,
        seconds: float | None,
        spent_s: float = 0.0,
        processor_s: float = 0.0,
    ) -> None:
        """Start the clock.

        Args:
            num_steps: Steps of the whole, where `seconds` is None.
            seconds: Time of the whole; None counts steps.
            spent_s: Time that was spent before, by what this one goes on with.
            processor_s: Processor time that was spent before, by all processes of the job.
        """
        self.num_steps = num_steps
        self.seconds = seconds
        self._spent_s = spent_s
        self._start_s = monotonic()
        self._processor_s = processor_s
        self._processor_start_s = process_time()

    @property
    def spent_s(self) -> float:
        """Seconds that it has taken, those before a stop included."""
        return self._spent_s + monotonic() - self._start_s

    @property
    def processor_s(self) -> float:
        """Seconds of processor time, all threads together: on a CPU, a measure of cost that other
        work on the machine hardly changes. Several processes that do one job add theirs up, and
        must ask equally often."""
        return self._processor_s + sum(from_all(process_time() - self._processor_start_s))

    def share(self, step: int) -> Fraction:
        """Return the share that is spent after `step` steps, in [0, 1]; exact where it counts."""
        if self.seconds is None:
            return Fraction(min(step, self.num_steps), self.num_steps)
        # One clock for all processes: they must agree on the rate, and on the last step.
        spent_s = from_first(self.spent_s)
        return min(Fraction(1), Fraction(spent_s) / Fraction(self.seconds))

    def units(self, step: int) -> tuple[int, int, str]:
        """Return what a progress counts: how many are done and in all, and what they are."""
        if self.seconds is None:
            return step, self.num_steps, "step"
        total = max(1, int(self.seconds))
        return min(total, int(self.spent_s)), total, "second"
