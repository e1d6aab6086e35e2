"""What scores an architecture: a training, the weights of a supernet, or its size."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import ClassVar

import torch

from autoseg.architecture import Architecture, SearchSpace, sample_architecture
from autoseg.config import (
    RETRAIN_PRESETS,
    SEARCH_PRESETS,
    DataConfig,
)
from autoseg.config.search import EstimatorName, PathSamplerName
from autoseg.cost import count_macs, count_parameters
from autoseg.errors import UsageError
from autoseg.runs import Progress, seed_everything
from autoseg.strategies import ESTIMATORS, Darts, SearchTask
from autoseg.strategies.estimator import (
    Estimator,
    SharedEstimator,
    ShortEstimator,
    SupernetEstimator,
)
from autoseg.strategies.finetuned import FinetunedEstimator
from autoseg.strategies.training_speed import SpeedEstimator
from autoseg.supernet import Supernet

from .retraining import CPU, Retraining, Scorer, build_retrained

NUM_STATISTICS_IMAGES = 64
"""Images of trainB that an estimator scores on: a search takes 16, whose noise would be measured
along with the estimator."""


class _Estimated(Scorer):
    """What a search's estimator says, mIoU on trainB."""

    def _task(self, *, path_sampler: PathSamplerName = "uniform") -> SearchTask:
        train_dataset, val_dataset = map(self.split, ("train", "val"))
        steps = dict.fromkeys(("arch_steps", "sample_steps"), self.num_steps)
        config = replace(
            SEARCH_PRESETS["tiny"],
            seed=self.seed,
            val_images=NUM_STATISTICS_IMAGES,
            image_scale=self.image_scale,
            **(steps if self.num_steps else {}),
            path_sampler=path_sampler,
        )
        return SearchTask(
            space=self.space,
            config=config,
            train_dataset=train_dataset,
            val_dataset=val_dataset,
            device=CPU,
        )


class Short(_Estimated):
    """`--estimator short`: a short training in the sizes of the search, on trainA."""

    def score(self, architecture: Architecture) -> float:
        """Train it alone, from the seed that all share."""
        seed_everything(self.seed)
        return _run(ShortEstimator(self._task()), architecture, "short")


class Speed(_Estimated):
    """`--estimator speed`: the same training, scored by its losses."""

    def score(self, architecture: Architecture) -> float:
        """Train it alone, as `Short` does."""
        seed_everything(self.seed)
        return _run(SpeedEstimator(self._task()), architecture, "speed")


class Sampled(_Estimated):
    """`--estimator supernet`: weights inherited from a supernet that was trained by paths."""

    path_sampler: PathSamplerName = "uniform"
    estimator_type = SupernetEstimator

    def score(self, architecture: Architecture) -> float:
        """Score by inherited weights; the supernet is trained at the first call."""
        estimator = supernet_of(type(self), self.space, self.data, self.num_steps, self.seed)
        return _run(estimator, architecture, type(self).__name__.lower())

    def train(self) -> SupernetEstimator:
        """Train a supernet."""
        estimator = self.estimator_type(self._task(path_sampler=self.path_sampler))
        drawn = sample_architecture(self.space, torch.Generator())  # has no part in it
        _make_steps(estimator, drawn, "supernet")
        return estimator


@cache
def supernet_of(
    scorer: type[Sampled], space: SearchSpace, data: DataConfig, num_steps: int, seed: int
) -> SupernetEstimator:
    """Train a scorer's supernet, once for all that score by it."""
    seed_everything(seed)
    return scorer(space, data=data, num_steps=num_steps, seed=seed).train()


class FairlySampled(Sampled):
    """The same by FairNAS' sampling: each step trains each operation once on every edge."""

    path_sampler: PathSamplerName = "fair"


class Shared(Sampled):
    """`--estimator shared`: weights inherited from networks that share modules."""

    estimator_type = SharedEstimator


class FairlyShared(Shared):
    """Shared weights, trained by FairNAS' sampling."""

    path_sampler: PathSamplerName = "fair"


class Alone(_Estimated):
    """The architecture's own path of a supernet, trained without any other: nothing is shared.

    What separates it from `Short` is what a path of the supernet computes otherwise than the
    derived network; what separates it from `Sampled` is sharing.
    """

    def score(self, architecture: Architecture) -> float:
        """Train a fresh supernet by this path alone."""
        seed_everything(self.seed)
        estimator = SupernetEstimator(self._task())
        estimator.trainer.sampler = lambda space, generator: (architecture,)
        return _run(estimator, architecture, "alone")


class Finetuned(_Estimated):
    """`--estimator finetuned`: inherited weights of `shared`, and a few steps of its own."""

    NUM_OWN_STEPS = 25

    def score(self, architecture: Architecture) -> float:
        """Train on from inherited weights, and score."""
        inherited = supernet_of(Shared, self.space, self.data, self.num_steps, self.seed)
        config = replace(inherited.task.config, sample_steps=self.NUM_OWN_STEPS)
        estimator = FinetunedEstimator(replace(inherited.task, config=config))
        # The supernet that the row of `shared` has trained.
        estimator.load_state_dict(estimator.state_dict() | inherited.state_dict(), architecture)
        return _run(estimator, architecture, "finetuned", num_done=self.num_steps)


class ByDarts(Sampled):
    """Weights inherited from a supernet that DARTS trained: as many steps of warm-up before."""

    def train(self) -> SupernetEstimator:
        """Train a supernet and its alpha and beta."""
        task = self._task()
        estimator = SupernetEstimator(task)
        supernet = estimator.trainer.supernet
        assert isinstance(supernet, Supernet)
        supernet.backend = "auto"
        darts = Darts(
            supernet, task.config, ignore_index=task.train_dataset.ignore_index, device=CPU
        )
        batches_a, batches_b = task.batches("a"), task.batches("b")
        num_steps = 2 * self.num_steps
        with Progress(num_steps, description="darts") as progress:
            for step in range(num_steps):
                arch_batch = None if step < self.num_steps else next(batches_b)
                darts.step(next(batches_a), arch_batch, progress=step / num_steps)
                progress.update()
        estimator.is_trained = True
        return estimator


class Parameters(Scorer):
    """Parameters of the network that is retrained."""

    def score(self, architecture: Architecture) -> float:
        """Count the parameters."""
        num_classes = self.split("train").num_classes
        return float(
            count_parameters(build_retrained(architecture, _SIZES, num_classes=num_classes))
        )


class Macs(Scorer):
    """Multiply-accumulates of the network that is retrained, on the largest image it sees."""

    def score(self, architecture: Architecture) -> float:
        """Count the multiply-accumulates of one image."""
        dataset = self.split("train")
        network = build_retrained(architecture, _SIZES, num_classes=dataset.num_classes).eval()
        height, width = (round(self.image_scale * side) for side in dataset.largest_size)
        return float(count_macs(network, (height, width)).macs)


class ZeroCost(_Estimated):
    """`--estimator` jacov, nwot, snip or zico: the untrained network that `Short` would train."""

    estimator: ClassVar[EstimatorName]

    def score(self, architecture: Architecture) -> float:
        """Score it by batches of trainA."""
        return _run(ESTIMATORS[self.estimator](self._task()), architecture, self.estimator)


class Jacov(ZeroCost):
    """How little the gradients of different images correlate."""

    estimator = "jacov"


class Nwot(ZeroCost):
    """How differently images switch the rectified units."""

    estimator = "nwot"


class Snip(ZeroCost):
    """How much the loss depends on the weights."""

    estimator = "snip"


class Zico(ZeroCost):
    """How large and steady the gradients are over batches."""

    estimator = "zico"


class Fineness(Scorer):
    """The mean stride of the path, negated: no training at all."""

    def score(self, architecture: Architecture) -> float:
        """Prefer fine paths."""
        return -sum(architecture.path) / len(architecture.path)


_SIZES = RETRAIN_PRESETS["tiny"]

TRUTH = "retrain"
"""Name of the scorer that the others are measured against."""

SCORERS: dict[str, type[Scorer]] = {
    TRUTH: Retraining,
    "short": Short,
    "speed": Speed,
    "alone": Alone,
    "uniform": Sampled,
    "fair": FairlySampled,
    "shared": Shared,
    "fairly-shared": FairlyShared,
    "finetuned": Finetuned,
    "darts": ByDarts,
    "parameters": Parameters,
    "macs": Macs,
    "fineness": Fineness,
    "jacov": Jacov,
    "nwot": Nwot,
    "snip": Snip,
    "zico": Zico,
}
"""Scorers by the name that `--scorers` knows, to which ":STEPS" is added where it trains."""

UNTRAINED = frozenset({"parameters", "macs", "fineness", "jacov", "nwot", "snip", "zico"})
"""Those that do not train, and so have no steps; they are asked once, with the first seed."""


def build_scorer(name: str, space: SearchSpace, *, data: DataConfig, seed: int) -> Scorer:
    """Build a scorer by a name such as "short:100" or "macs".

    Raises:
        UsageError: If there is none of that name, or its steps are missing or too many.
    """
    kind, _, steps = name.partition(":")
    build: Callable[..., Scorer] | None = SCORERS.get(kind)
    is_trained = kind not in UNTRAINED
    if build is None or is_trained != (steps.isdecimal() and int(steps) > 0):
        known = [f"{each}:STEPS" if each not in UNTRAINED else each for each in SCORERS]
        raise UsageError(f"--scorers {name}: use one of {', '.join(known)}.")
    return build(space, data=data, num_steps=int(steps or 0), seed=seed)


def _make_steps(
    estimator: Estimator, architecture: Architecture, description: str, *, num_done: int = 0
) -> int:
    """Let an estimator make its steps, if any are left; return how many it made."""
    step = num_done
    with Progress(estimator.num_steps - num_done, description=description) as progress:
        while not estimator.is_trained:
            losses = estimator.step(architecture, Fraction(step, estimator.num_steps))
            step += 1
            if losses:
                progress.update(loss=losses[0].value.item())
            else:
                progress.update()
    return step


def _run(
    estimator: Estimator, architecture: Architecture, description: str, *, num_done: int = 0
) -> float:
    """Let an estimator make its steps after `num_done`, if any are left, and score."""
    step = _make_steps(estimator, architecture, description, num_done=num_done)
    with Progress(1, description=description, unit="architecture") as progress:
        score = estimator.score(architecture, step, phase=progress.phase)
    if isinstance(estimator, SupernetEstimator):
        estimator.is_trained = True  # the next architecture inherits the same weights
    return score.value
