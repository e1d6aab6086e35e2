"""A file's tensors beside those of a network: what fits, and what does not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from autoseg.networks.outputs import AUXILIARY, WRAPPED
from autoseg.networks.weights.names import Reading
from autoseg.networks.weights.targets import Target

COUNT = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A target beside one reading of a file. The file's names are those of the reading."""

    target: Target
    reading: Reading
    found: dict[str, str]
    """Name in the file by the network's own, where the shape fits."""
    misshapen: dict[str, str]
    """Name in the file by the network's own, where the shape is another one."""
    missing: dict[str, str]
    """The name that the file should have, by the network's own."""
    extra: tuple[str, ...]
    """Names in the file that have no place."""
    conflicting: tuple[str, ...]
    """Names beside the encoder that are the network's own: the file is of the whole network."""
    left_out: tuple[str, ...]
    """Names in the file that belong to a classifier which the target lacks."""

    @property
    def nearness(self) -> tuple[int, int]:
        """Tell of two comparisons that fail which comes nearer: the larger one."""
        num_wrong = len(self.misshapen) + len(self.missing) + len(self.extra)
        return len(self.found), -num_wrong - len(self.conflicting)

    @property
    def is_complete(self) -> bool:
        """Tell whether the target is filled, and nothing of it is left over."""
        return bool(self.found) and not (self.missing or self.misshapen or self.extra)

    @property
    def is_mostly_found(self) -> bool:
        """Tell whether more of the target is filled than not."""
        return len(self.found) > len(self.missing) + len(self.misshapen) and not self.extra

    def excused(self, class_dependent: Collection[str]) -> tuple[str, ...]:
        """List the network's weights that may keep random values.

        Args:
            class_dependent: Own names of those whose shape depends on the number of classes.
        """
        unfilled = {**self.misshapen, **self.missing}
        random = [own for own in unfilled if own in class_dependent]
        auxiliary = [own for own in self.target.names if _is_auxiliary(own)]
        if not any(own in self.found or own in self.misshapen for own in auxiliary):
            random += [own for own in auxiliary if own not in random]
        return tuple(random)

    def fits(self, class_dependent: Collection[str]) -> bool:
        """Tell whether the file fits, but for the weights that may keep random values."""
        random = set(self.excused(class_dependent))
        unfilled = {*self.missing, *self.misshapen} - random
        return bool(self.found) and not (self.extra or self.conflicting or unfilled)


def compare(
    target: Target,
    reading: Reading,
    *,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> Comparison:
    """Set one reading of a file beside a target.

    Args:
        target: What the file may be for.
        reading: What its names may mean.
        tensors: The file's tensors.
        state: The network's.
    """

    def has_shape(own: str, name: str) -> bool:
        return is_same_layer(tensors[reading.names[name]], state[own])

    wanted = dict(target.names)
    if all(name in reading.names and has_shape(own, name) for own, name in target.optional.items()):
        wanted |= target.optional
    present = {own: name for own, name in wanted.items() if name in reading.names}
    found = {own: name for own, name in present.items() if has_shape(own, name)}
    taken = set(wanted.values())
    rest = [name for name in reading.names if name not in taken]
    left_out = tuple(name for name in rest if name.startswith(target.absent))
    return Comparison(
        target=target,
        reading=reading,
        found=found,
        misshapen={own: name for own, name in present.items() if own not in found},
        missing={
            own: name
            for own, name in wanted.items()
            if own not in present and not own.endswith(COUNT)
        },
        extra=tuple(sorted(set(rest) - set(left_out))),
        conflicting=tuple(
            name
            for name, own in reading.beside.items()
            if name in target.others and is_same_layer(tensors[own], target.others[name])
        ),
        left_out=left_out,
    )


def is_same_layer(theirs: Tensor, own: Tensor) -> bool:
    """Tell whether two tensors have one shape, or are a linear layer and the same as a convolution.

    A convolution whose kernel covers the whole map is a linear layer over all its values.
    """
    if theirs.shape == own.shape:
        return True
    return (
        {theirs.ndim, own.ndim} == {2, 4}
        and theirs.shape[0] == own.shape[0]
        and theirs.numel() == own.numel()
    )


def _is_auxiliary(own: str) -> bool:
    return own.removeprefix(f"{WRAPPED}.").startswith(f"{AUXILIARY}.")
