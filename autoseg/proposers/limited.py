"""Domains of which a limit allows a part."""

from abc import abstractmethod
from collections.abc import Callable

import torch

from autoseg.errors import UsageError
from autoseg.proposers.domain import Domain, Value

MAX_DRAWS = 10_000
"""Draws after which a limit is called too tight to draw architectures within it."""
MAX_MUTATIONS = 100
"""Mutations after which an architecture is drawn instead."""


class LimitedDomain(Domain[Value]):
    """Architectures of which only those that are allowed are proposed."""

    def __init__(self, is_allowed: Callable[[Value], bool] | None) -> None:
        """Take what tells whether an architecture may be proposed; None allows all."""
        self._is_allowed = is_allowed

    @abstractmethod
    def _sample(self, generator: torch.Generator) -> Value:
        """Draw an architecture, allowed or not, each with the same probability."""

    @abstractmethod
    def _mutate(self, value: Value, generator: torch.Generator) -> Value:
        """Draw one that differs by one choice, allowed or not; the same where there is none."""

    def sample(self, generator: torch.Generator) -> Value:
        """Draw an architecture that is allowed, each with the same probability.

        Raises:
            UsageError: If none of `MAX_DRAWS` is.
        """
        for _ in range(MAX_DRAWS):
            drawn = self._sample(generator)
            if self.allows(drawn):
                return drawn
        raise UsageError(
            f"none of {MAX_DRAWS:,} architectures drawn at random stays within the limit; allow "
            "more (--max-macs, --max-latency), or use --strategy darts, which finds the best one "
            "within it."
        )

    def allows(self, value: Value) -> bool:
        """Tell whether an architecture may be proposed."""
        return self._is_allowed is None or self._is_allowed(value)

    def mutate(self, value: Value, generator: torch.Generator) -> Value:
        """Change one choice, again until the result is allowed; draw one if that takes too long."""
        for _ in range(MAX_MUTATIONS):
            mutated = self._mutate(value, generator)
            if self.allows(mutated):
                return mutated
        return self.sample(generator)
