"""What every supernet is: a network whose parameters are of two groups."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


class RelaxedNetwork(nn.Module, ABC):
    """A network with parameters of the architecture beside its weights."""

    @abstractmethod
    def arch_parameters(self) -> list[nn.Parameter]:
        """Return the logits of the choices."""

    def decoded_logits(self) -> tuple[Tensor, Tensor]:
        """Return what `decode` reads: two matrices or stacks of logits, with gradients."""
        first, second = self.arch_parameters()
        return first, second

    def weight_parameters(self) -> list[nn.Parameter]:
        """Return all other parameters."""
        arch = {id(parameter) for parameter in self.arch_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in arch]

    @contextmanager
    def only_gradients_of(self, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
        """Compute no other gradients inside: a half-step needs only its own group's."""
        wanted = {id(parameter) for parameter in parameters}
        before = [(parameter, parameter.requires_grad) for parameter in self.parameters()]
        for parameter, _ in before:
            parameter.requires_grad_(id(parameter) in wanted)
        try:
            yield
        finally:
            for parameter, requires_grad in before:
                parameter.requires_grad_(requires_grad)
