"""What a search strategy is: everything that the search loop knows of one."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from autoseg.architecture import AnyArchitecture, Space
from autoseg.backends import BackendName
from autoseg.config import RETRAIN_PRESETS, NetworkSizes, SearchConfig
from autoseg.data import SegmentationDataset, split_half
from autoseg.pricing import LatencyTable
from autoseg.runs.closing import Closing
from autoseg.training import LoadingWatch, augmented_batches

Batch = tuple[Tensor, Tensor]
"""Images, normalised, (N, 3, H, W), and target, int64, (N, H, W)."""

Half = Literal["a", "b"]
"""trainA or trainB, two random halves of the training images."""

Phase = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Shows what is done between two steps: `Progress.phase`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchTask:
    """What is searched, on which images and where: all that a strategy may need."""

    space: Space
    """What may be chosen."""
    config: SearchConfig
    """The settings; a strategy reads those that its `settings` names."""
    train_dataset: SegmentationDataset
    """The train split, which a search uses in two halves."""
    val_dataset: SegmentationDataset
    """The val split, to show how the search is getting on; nothing is chosen by it."""
    device: torch.device
    """Where networks are."""
    backend: BackendName = "auto"
    """What evaluates a supernet."""
    retrain_sizes: NetworkSizes = RETRAIN_PRESETS["paper"]
    """Sizes in which the result will be retrained, and its MACs are counted."""
    journal: Path | None = None
    """File for the trials of a strategy that has some, in the run folder; None keeps them in
    memory, from which a search cannot be resumed."""

    latency_table: LatencyTable | None = None
    """Measured times of its networks' parts; None if latency plays no part."""

    loading: LoadingWatch = field(default_factory=LoadingWatch, compare=False)
    """How long all batches together were waited for."""

    def half(self, half: Half) -> list[int]:
        """Return the indices of trainA, or of trainB, which is the smaller where they differ."""
        halves = split_half(len(self.train_dataset), seed=self.config.seed)
        return dict(zip("ab", halves, strict=True))[half]

    def batches(self, half: Half, *, start_step: int = 0) -> Iterator[Batch]:
        """Give the augmented batches of a half without end, from number `start_step` on.

        Raises:
            UsageError: At the call, if batch or crop do not fit the images.
        """
        batches = augmented_batches(
            self.train_dataset, self.config, indices=self.half(half), start_step=start_step
        )
        return self.loading.watched(batches)

    @property
    def steps_per_pass(self) -> int:
        """Batches that trainB holds."""
        return len(self.train_dataset) // 2 // self.config.batch_size


class StepLoss(NamedTuple):
    """A loss of one step."""

    what: str
    """Name of the loss, with the option of its learning rate, for messages."""
    value: Tensor
    """A scalar on the device; the next step may overwrite it."""
    learning_rate: float
    """Learning rate of the step."""
    is_fatal: bool = True
    """False if it is of one candidate alone, which the strategy scores as failed where the loss is
    not finite: the search then goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What there is to tell after a round."""

    line: Mapping[str, object]
    """What metrics.jsonl keeps of it, under names in `Strategy.logs`."""
    shown: Mapping[str, float | int | str]
    """What stands beside the progress, the most important first."""
    message: str
    """A line for the terminal."""
    is_last: bool = False
    """True if the strategy ends the search before its budget does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a search has to say of its result."""

    text: str
    """Lines for the terminal, the doubts among them."""
    doubts: tuple[str, ...]
    """Sentences that a person must know who takes the architecture for a result."""
    results: Mapping[str, object] = field(default_factory=dict)
    """What run.json keeps of it beside the doubts."""
    failure: str | None = None
    """Why nothing was found, a sentence: a search whose budget is spent ends in this error."""

    def with_doubt(self, doubt: str) -> "Report":
        """Return the report with one more doubt, in a line of its own."""
        return replace(self, text=f"{self.text}\n{doubt}", doubts=(*self.doubts, doubt))


class Strategy(Closing):
    """How a space is explored: derive from this, and put the class into `STRATEGIES`.

    The loop asks for steps until the budget is spent and, whenever a round ends, for what there is
    to tell; then it logs, saves and goes on. Strategies own the mathematics; the order of data,
    checkpoints, time and messages is the loop's. `docs/adding_strategies.md` builds one.

    Everything random comes from the settings' seed or torch's global generator, whose state the
    loop saves: the same seed gives the same search, and a search that is resumed is one that was
    never stopped.
    """

    round_name: str
    """What a round is called, singular: "epoch", "sample"."""
    logs: frozenset[str]
    """Names of what rounds log, besides "step" and "loss"."""
    can_leave_round_end: bool = False
    """Whether `end_round` changes nothing that counts before its last phase is over, so that a
    signal may give it up: it is then called again, by this search or one that goes on."""
    has_shared_trials = False
    """Whether what it has tried is seen by other processes at once, and no checkpoint takes that
    back: the loop then saves before the first step, so that one which goes on tries the same."""

    @property
    def announcement(self) -> str:
        """What a person should know before the first step, a line; "" if there is nothing."""
        return ""

    @abstractmethod
    def __init__(self, task: SearchTask) -> None:
        """Build what the search needs, with random weights; nothing is trained yet."""

    @classmethod
    @abstractmethod
    def settings(cls, config: SearchConfig) -> frozenset[str]:
        """Return the names of the settings that it reads, if they are these.

        An option that it does not read is refused; those that it reads are what a checkpoint is
        bound to.
        """

    @classmethod
    @abstractmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse settings that cannot work, before anything is written.

        Raises:
            UsageError: With the setting and the remedy.
        """

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """Steps of the whole search, where the budget is no time."""

    @property
    @abstractmethod
    def num_evaluations(self) -> int:
        """Forward and backward passes of a network over a batch so far: what the search costs."""

    @abstractmethod
    def step(self, step: int, share: Fraction) -> Sequence[StepLoss]:
        """Make one step.

        Args:
            step: Its number, from 0.
            share: Share of the budget that is spent, in [0, 1); schedules follow it.

        Returns:
            The losses, without waiting for the device; the first one is shown and averaged. One
            that is fatal and not finite ends the search.
        """

    @abstractmethod
    def rounds_done(self, share: Fraction) -> int:
        """Count the rounds that are over, after the last `step`, when `share` is spent.

        Where the number grows, the loop calls `end_round`.
        """

    @abstractmethod
    def end_round(self, step: int, share: Fraction, *, phase: Phase) -> Round:
        """Score what there is to score.

        Args:
            step: Steps done.
            share: Share of the budget that is spent, in (0, 1].
            phase: Shows what takes time.
        """

    @abstractmethod
    def decode(self) -> AnyArchitecture:
        """Return the architecture that a search which ended now would have found."""

    @abstractmethod
    def report(self) -> Report:
        """Say how far `decode` can be trusted."""

    def vital_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Name what ends the search once it is not finite; nothing where candidates fail alone."""
        return ()

    def close(self) -> None:
        """Close files that the strategy holds open; it can still `decode` and `report`."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on: tensors, numbers, strings, None, and lists and
        dictionaries of these."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned, on this device or another."""
