"""What to say of a file that does not fit: what is wrong with it, and what it would fit."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache

from torch import Tensor

from autoseg.errors import UsageError
from autoseg.foreign_text import listed, printable
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.weightless import weightless
from autoseg.networks.weights.comparison import COUNT, Comparison
from autoseg.networks.weights.files import WeightFile
from autoseg.networks.weights.names import readings
from autoseg.networks.weights.targets import Target

_MIN_SHARE = Fraction(1, 2)
"""Share of the differing sizes that one factor must explain before it is called the width."""
_MAX_WIDTH = 16
"""No encoder is looked for beyond: a hostile file may claim any size."""


class MisfitError(UsageError):
    """A file of weights that does not fit the network.

    Attributes:
        factor: The file's sizes over the network's, where most that differ have one factor; else 1.
        encoder: Name in `ENCODERS` of the classifier that the file is of or is built on, where that
            is not the network's; else "".
        width: Width of that encoder in the file.
    """

    def __init__(self, message: str, *, factor: Fraction, encoder: str, width: float) -> None:
        super().__init__(message)
        self.factor = factor
        self.encoder = encoder
        self.width = width


def misfit_error(
    comparisons: Sequence[Comparison], file: WeightFile, state: Mapping[str, Tensor]
) -> MisfitError:
    """Build the error for a file of which no reading fits.

    Args:
        comparisons: All readings beside the network.
        file: The file.
        state: The network's tensors.
    """
    nearest = max(comparisons, key=lambda comparison: comparison.nearness)
    factor = _common_factor(nearest, file, state)
    encoder, width = known_encoder(file.tensors)
    if encoder == _own_encoder(nearest.target):
        encoder, width = "", 1.0
    said = [f"weights: {printable(str(file.path))} does not fit {nearest.target.title}"]
    said += _problems(nearest, file, state)
    if encoder:
        advice = f"It is a file of {encoder}: build a network over that"
    elif any(other.is_complete and other.target.part for other in comparisons):
        advice = "Its encoder fits; build the network that the file was saved from"
    elif factor != 1 and len(nearest.misshapen) > len(nearest.found):
        times = f"{factor} times" if factor > 1 else f"{factor} of"
        advice = (
            f"Most of its channel counts are {times} the network's: build the network with {times} "
            "the width"
        )
    elif nearest.found:
        advice = f"{len(nearest.found)} others fit; build the network that the file was saved from"
    else:
        advice = "It is of another network; build that"
    return MisfitError(
        f"{'; '.join(said)}. {advice}, or name another file.",
        factor=factor,
        encoder=encoder,
        width=width,
    )


def _problems(
    comparison: Comparison, file: WeightFile, state: Mapping[str, Tensor]
) -> Iterator[str]:
    """List what is missing, extra and misshapen, each if there is any."""
    tensors, names = file.tensors, comparison.reading.names
    misshapen = [
        f"{name} is {tuple(tensors[names[name]].shape)} where the network has "
        f"{tuple(state[own].shape)}"
        for own, name in comparison.misshapen.items()
    ]
    for wrong, kind in (
        (list(comparison.missing.values()), "missing"),
        (comparison.extra, "extra"),
        (misshapen, "misshapen"),
    ):
        if wrong:
            yield f"{len(wrong)} {kind}: {listed(wrong)}"


def _common_factor(
    comparison: Comparison, file: WeightFile, state: Mapping[str, Tensor]
) -> Fraction:
    """Find the factor that most of the sizes that differ have in common; 1 if there is none."""
    ratios: Counter[Fraction] = Counter()
    for own, name in comparison.misshapen.items():
        theirs, ours = file.tensors[comparison.reading.names[name]].shape, state[own].shape
        if len(theirs) == len(ours):
            sizes = zip(theirs, ours, strict=True)
            ratios.update(Fraction(a, b) for a, b in sizes if a != b and a and b)
    if not ratios:
        return Fraction(1)
    factor, count = ratios.most_common(1)[0]
    return factor if count > _MIN_SHARE * ratios.total() else Fraction(1)


def _own_encoder(target: Target) -> str:
    """Name the encoder that a target is; "" if it is none in `ENCODERS`."""
    state = target.module.state_dict()
    named = {name: state[own.removeprefix(f"{target.part}.")] for own, name in target.names.items()}
    return known_encoder(named)[0]


def known_encoder(tensors: Mapping[str, Tensor]) -> tuple[str, float]:
    """Find the encoder that tensors are of, or a network that is built on it.

    Args:
        tensors: By the names in a file.

    Returns:
        Its name in `ENCODERS` and its width, by every name and shape; "" and 1 if it is none.
    """
    for reading in readings(tensors):
        for name in ENCODERS:
            shapes, classifier = _shapes(name, 1.0)
            if not shapes.keys() <= reading.names.keys():
                continue
            rest = (other for other in reading.names if other not in shapes)
            if any(
                not other.startswith(classifier) and not other.endswith(COUNT) for other in rest
            ):
                continue
            first = next(iter(shapes))
            width = _first_size(tensors[reading.names[first]]) / shapes[first][0]
            if not 0 < width <= _MAX_WIDTH:
                continue
            theirs = {own: tuple(tensors[reading.names[own]].shape) for own in shapes}
            if theirs == _shapes(name, width)[0]:
                return name, width
    return "", 1.0


def _first_size(tensor: Tensor) -> int:
    return tensor.shape[0] if tensor.ndim else 0


@cache
def _shapes(encoder: str, width: float) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """Give an encoder's shapes by name, without batch norm's counts, and its classifier's parts."""
    with weightless():
        network = ENCODERS[encoder](num_classes=None, width=width)
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.endswith(COUNT)
    }
    return shapes, tuple(f"{part}." for part in network.classifier_parts)
