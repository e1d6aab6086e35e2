"""What can be proposed: a finite set of values, each a combination of named options."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import torch

Value = TypeVar("Value")


class Domain(ABC, Generic[Value]):
    """A finite set of values that proposers search, written as one option for each parameter.

    Every combination of options is read as a value of the set, so that whatever a sampler combines
    is valid. Several combinations may be read as the same value; `encode` names one of them.
    """

    options: Mapping[str, tuple[str, ...]]
    """The options of each parameter, at least two."""

    def allows(self, value: Value) -> bool:
        """Tell whether a value may be proposed; `sample` and `mutate` return no other."""
        return True

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Value:
        """Draw a value that is allowed, each with the same probability."""

    @abstractmethod
    def mutate(self, value: Value, generator: torch.Generator) -> Value:
        """Draw a value that differs from another by one choice; the same where there is no other.

        By such steps each value leads to every other.
        """

    @abstractmethod
    def encode(self, value: Value) -> dict[str, str]:
        """Return the option of each parameter; `decode` reads the value from them."""

    @abstractmethod
    def decode(self, chosen: Mapping[str, str]) -> Value:
        """Return the value of any combination of options."""

    def features(self, value: Value) -> Sequence[float]:
        """Describe a value by numbers, in which a model of the scores is linear.

        Here 1 for each option that it has and 0 for the others; a domain that knows more of its
        values says it with fewer numbers, which takes fewer scores to learn from.
        """
        chosen = self.encode(value)
        return [
            float(chosen[name] == option)
            for name, options in self.options.items()
            for option in options
        ]


def draw_below(limit: int, generator: torch.Generator) -> int:
    """Draw from 0 to limit - 1, each with the same probability."""
    return int(torch.randint(limit, (), generator=generator))
