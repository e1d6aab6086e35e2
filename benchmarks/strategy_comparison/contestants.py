"""Who is compared: searches by name, with the steps at which each costs as much as the others."""

from dataclasses import dataclass
from typing import Literal

from autoseg.errors import unknown_name

EPOCH_STEPS = 32
"""Steps of an epoch of the embedded dataset: half of its 512 training scenes, 8 at a time."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """How long alpha and beta are searched, in epochs of the embedded dataset.

    What costs as much as the others is a number of steps; on more or fewer images, the epochs are
    fewer or more.
    """

    number: int
    """All epochs."""
    warm_up: int
    """The first of them, which train the weights alone."""

    def options(self, epoch_steps: int) -> tuple[str, ...]:
        """Say it to a search whose epochs have so many steps."""
        number, warm_up = (
            max(1, round(epochs * EPOCH_STEPS / epoch_steps))
            for epochs in (self.number, self.warm_up)
        )
        return "--num-epochs", str(number), "--arch-start-epoch", str(warm_up)


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
    epochs: Epochs | None = None
    """How long it searches, if that is said in epochs."""
    network: tuple[str, ...] = ()
    """Options that name a fixed network to `retrain`; none for an architecture of the space."""

    def search_options(self, epoch_steps: int) -> tuple[str, ...]:
        """Return all options of its search, in which an epoch has so many steps."""
        length = () if self.epochs is None else self.epochs.options(epoch_steps)
        return (*self.search, *length)

    def description(self, epoch_steps: int) -> str:
        """Say what tells the contestants apart, for a reader; an epoch has so many steps."""
        if self.draws == "path and cell":
            return "path and cell drawn at random"
        if self.draws == "cell":
            return "the path that a uniform beta decodes, cell drawn at random"
        return " ".join(self.search_options(epoch_steps) or self.network)


DRAWN = "drawn"
"""Name of the row with which the others are compared: architectures without a search."""

RANDOM = "random"
"""Name of the search that learns nothing from its scores."""

_SCORED = ("--val-images", "64")
"""A sample's score is of more images than the preset's 16: mIoU of few images is mostly noise."""

_TWELVE_SAMPLES = ("--sample-steps", "200", "--arch-steps", "2400")
_BY_SPEED = ("--estimator", "speed", "--sample-steps", "75", "--arch-steps", "2550")

# What searches by alpha and beta cost was measured by strategy_cost.py: 384 steps of darts, one
# half-step counted as half, come to 16 epochs of it, half of them warm-up; darts2 takes 2.7 steps,
# gumbel 0.30, pc and drnas 1.0, an eigenvalue of robust 11.7. A sample without training takes
# 0.24 s (nwot), 0.6 s (macs) or 0.04 s (parameters) where darts takes 186 s.
_CONTESTANTS = (
    Contestant(name=DRAWN, draws="path and cell"),
    Contestant(name="untrained", draws="cell"),
    Contestant(
        name=RANDOM,
        search=("--strategy", "random", *_SCORED, *_TWELVE_SAMPLES),
    ),
    Contestant(
        name="halving",
        search=(
            *("--strategy", "random", *_SCORED, "--pruner", "halving", "--min-steps", "50"),
            *("--reduction-factor", "2", "--sample-steps", "400", "--arch-steps", "2400"),
        ),
    ),
    Contestant(
        name="speed",
        search=("--strategy", "random", *_BY_SPEED),
    ),
    Contestant(
        name="evolution by speed",
        search=("--strategy", "evolution", *_BY_SPEED),
    ),
    Contestant(
        name="tpe by speed",
        search=("--strategy", "tpe", *_BY_SPEED),
    ),
    Contestant(
        name="predictor",
        search=(
            *("--strategy", "predictor", "--population-size", "14", *_SCORED),
            *("--sample-steps", "75", "--arch-steps", "2100"),
        ),
    ),
    Contestant(
        name="predictor by speed",
        search=("--strategy", "predictor", "--population-size", "16", *_BY_SPEED),
    ),
    Contestant(
        name="darts",
        search=("--strategy", "darts"),
        epochs=Epochs(16, warm_up=8),
    ),
    Contestant(
        name="darts2",
        search=("--strategy", "darts2"),
        epochs=Epochs(7, warm_up=3),
    ),
    Contestant(
        name="gumbel",
        search=("--strategy", "gumbel"),
        epochs=Epochs(54, warm_up=27),
    ),
    Contestant(
        name="robust",
        search=("--strategy", "robust", "--arch-steps", "184"),
        epochs=Epochs(20, warm_up=8),
    ),
    Contestant(
        name="pc",
        search=("--strategy", "pc"),
        epochs=Epochs(16, warm_up=8),
    ),
    Contestant(
        name="drnas",
        search=("--strategy", "drnas"),
        epochs=Epochs(16, warm_up=8),
    ),
    Contestant(
        name="evolution",
        search=("--strategy", "evolution", *_SCORED, *_TWELVE_SAMPLES),
    ),
    Contestant(
        name="tpe",
        search=("--strategy", "tpe", *_SCORED, *_TWELVE_SAMPLES),
    ),
    Contestant(
        name="nsga2",
        search=("--strategy", "nsga2", *_SCORED, *_TWELVE_SAMPLES),
    ),
    Contestant(
        name="nwot",
        search=("--strategy", "random", "--estimator", "nwot", "--num-samples", "800"),
    ),
    Contestant(
        name="macs",
        search=("--strategy", "random", "--estimator", "macs", "--num-samples", "300"),
    ),
    Contestant(
        name="parameters",
        search=("--strategy", "random", "--estimator", "parameters", "--num-samples", "4000"),
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
