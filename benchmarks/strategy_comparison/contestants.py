"""Who is compared: searches by name, with the steps at which each costs as much as the others."""

from dataclasses import dataclass
from typing import Literal

from autoseg.errors import unknown_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """A way to come by a network."""

    name: str
    """What `--contestants` and the tables call it."""
    draws: Literal["path and cell", "cell"] | None = None
    """What is drawn at random instead of searched; with "cell" alone, the path is the one that a
    uniform beta decodes: a supernet without a search."""
    search: tuple[str, ...] = ()
    """Options of its search, beside those that all share; none if nothing is searched."""
    network: tuple[str, ...] = ()
    """Options that name a fixed network to `retrain`; none for an architecture of the space."""

    @property
    def description(self) -> str:
        """What tells the contestants apart, for a reader."""
        if self.draws == "path and cell":
            return "path and cell drawn at random"
        if self.draws == "cell":
            return "the path that a uniform beta decodes, cell drawn at random"
        return " ".join(self.search or self.network)


DRAWN = "drawn"
"""Name of the row with which the others are compared: architectures without a search."""

_SCORED = ("--val-images", "64")
"""A sample's score is of more images than the preset's 16: mIoU of few images is mostly noise."""

_CONTESTANTS = (
    Contestant(name=DRAWN, draws="path and cell"),
    Contestant(name="untrained", draws="cell"),
    Contestant(
        name="random",
        search=(
            *("--strategy", "random", *_SCORED),
            *("--sample-steps", "200", "--arch-steps", "2400"),
        ),
    ),
    Contestant(
        name="halving",
        search=(
            *("--strategy", "random", *_SCORED, "--pruner", "halving", "--min-steps", "50"),
            *("--reduction-factor", "2", "--sample-steps", "400", "--arch-steps", "2400"),
        ),
    ),
    Contestant(
        name="darts",
        search=("--strategy", "darts", "--num-epochs", "16", "--arch-start-epoch", "8"),
    ),
    Contestant(
        name="icnet",
        network=("--network", "icnet_resnet50", "--width", "0.296875"),
    ),
    Contestant(
        name="deeplabv3plus",
        network=("--network", "deeplabv3plus_resnet50", "--width", "0.109375"),
    ),
)


def find_contestant(name: str) -> Contestant:
    """Find a contestant by its name.

    Raises:
        UsageError: If there is none.
    """
    contestants = {contestant.name: contestant for contestant in _CONTESTANTS}
    if name not in contestants:
        raise unknown_name("contestant", name, contestants)
    return contestants[name]


CONTESTANT_NAMES = tuple(contestant.name for contestant in _CONTESTANTS)
