"""When the curvature has risen, and what that leads to: functions of the eigenvalues alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppingRule:
    """Stops when the smoothed eigenvalue has risen by more than a ratio.

    Eigenvalues are smoothed by their mean over a window around each one, which at the beginning is
    cut off. The last one with a whole window to its right is compared with an earlier one.

    Source: Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search",
    arXiv 1909.09656, section 4.3.
    """

    window: int
    """Eigenvalues in a mean, an odd number."""
    distance: int
    """How many measurements the two means lie apart."""
    ratio: float
    """Stops when the later mean is more than so many times the earlier one."""

    @property
    def num_needed(self) -> int:
        """Measurements without which it cannot stop."""
        return self.distance + self.window // 2 + 1

    def returned(self, eigenvalues: Sequence[float], *, first: int = 0) -> int | None:
        """Say whether to stop after the last measurement.

        Args:
            eigenvalues: All measured so far.
            first: The earliest measurement to return to.

        Returns:
            The number of the measurement, from 0, whose architecture is the result; None to go on.
        """
        half = self.window // 2
        later = len(eigenvalues) - 1 - half
        earlier = later - self.distance
        if earlier < first:
            return None

        def mean(centre: int) -> float:
            around = eigenvalues[max(0, centre - half) : centre + half + 1]
            return sum(around) / len(around)

        return earlier if mean(later) > self.ratio * mean(earlier) else None


STOPPING_RULES = {
    "paper": StoppingRule(window=5, distance=5, ratio=1 / 0.75),
    "code": StoppingRule(window=5, distance=4, ratio=1.3),
}
"""The rule as the paper states it, and as its authors' code has it; they are not equivalent."""

DECAY_FACTOR, MAX_DECAY = 10, 0.03
"""How a rise changes the weight decay, and up to what: the authors' scripts."""


class Rises(NamedTuple):
    """What a history of eigenvalues leads to if every rise is answered by going back."""

    num_rises: int
    """How often the curvature has risen."""
    kept: tuple[int, ...]
    """The measurements that are left, by number: after a rise those up to the one returned to."""


def find_rises(rule: StoppingRule, eigenvalues: Sequence[float]) -> Rises:
    """Go through a history, and at each rise back to where it began.

    What is measured afterwards is compared with what was kept, as if the rest had never been.
    """
    num_rises, kept = 0, []
    for number in range(len(eigenvalues)):
        kept.append(number)
        returned = rule.returned([eigenvalues[each] for each in kept])
        if returned is not None:
            num_rises += 1
            del kept[returned + 1 :]
    return Rises(num_rises, tuple(kept))


def regularised_decay(weight_decay: float, num_rises: int) -> float | None:
    """Return the weight decay after so many rises; None where the last one found it at its most.

    Source: Zela et al. 2020, arXiv 1909.09656, section 5.3, with the numbers of the authors' code.
    """
    before, after = (
        min(MAX_DECAY, round(weight_decay * DECAY_FACTOR**num, 12))
        for num in (num_rises - 1, num_rises)
    )
    if num_rises == 0:
        return weight_decay
    return None if before == MAX_DECAY else after
