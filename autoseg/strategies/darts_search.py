"""DARTS as a strategy: epochs over a supernet, and what they log."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autoseg.architecture import AnyArchitecture, CellSpace
from autoseg.config import SearchConfig, values_of
from autoseg.data import labelled_indices
from autoseg.errors import UsageError
from autoseg.strategies.costs import (
    CostPenalty,
    cost_limit,
    cost_of,
    decode_limited,
    describe_limit,
    expectation,
    task_costs,
)
from autoseg.strategies.crops import require_crop_for_space
from autoseg.strategies.darts import Darts
from autoseg.strategies.decode_history import DecodeHistory
from autoseg.strategies.perturbation import (
    SELECTION_SHARE,
    PerturbationSelection,
    num_decisions,
    num_selection_steps,
)
from autoseg.strategies.space_kinds import (
    AnySupernet,
    build_supernet,
    require_for_cells,
    trellis_architecture,
    trellis_space,
    trellis_supernet,
)
from autoseg.strategies.statistics import skip_share
from autoseg.strategies.strategy import (
    Batch,
    Phase,
    Report,
    Round,
    SearchTask,
    StepLoss,
    Strategy,
)
from autoseg.strategies.together import average_statistics_, require_same_supernet
from autoseg.strategies.validation_plan import validation_interval
from autoseg.supernet import SinglePath
from autoseg.training import ValidationScore, pixels_together, validate
from autoseg.training.validation_clock import ValidationClock

_WEIGHTS, _ARCHITECTURE = "weights' (--weight-lr)", "architecture's (--arch-lr)"

_OF_SAMPLES = {
    *("num_samples", "sample_steps", "estimator", "path_sampler"),
    *("population_size", "tournament_size", "front_cost", "storage", "worker"),
    *("pruner", "min_steps", "reduction_factor"),
}
"""Settings of strategies that draw architectures."""

_OF_SUBCLASSES = {"stop_rule", "on_rise", "partial_channels", "edge_normalisation"}
"""Settings of subclasses."""


class DartsSearch(Strategy):
    """Trains a supernet's weights on trainA and, after a warm-up, alpha and beta on trainB.

    A round is an epoch: the supernet is scored on the val split, and the cell and the path that
    alpha and beta lead to are decoded. How weights, alpha and beta move in a step is `Darts`.

    Attributes:
        supernet: Holds the weights, alpha and beta.
        darts: Makes the steps, by the class's rule.
    """

    round_name = "epoch"
    logs = frozenset(
        {
            *("epoch", "val_miou", "val_num_averaged", "alpha_entropy", "beta_entropy"),
            *("skip_share", "architecture", "confidence"),
        }
    )
    can_leave_round_end = True
    rule: ClassVar[type[Darts]] = Darts
    """How a step moves the weights, alpha and beta; a subclass may name another."""
    own: ClassVar[frozenset[str]] = frozenset()
    """Settings that a subclass alone reads; `_OF_SUBCLASSES` has them too."""
    unread: ClassVar[frozenset[str]] = frozenset()
    """Settings that mean nothing to a subclass."""

    supernet: AnySupernet
    darts: Darts

    def __init__(self, task: SearchTask) -> None:
        """Build the supernet with random weights, and the two optimizers."""
        config = task.config
        self.task = task
        self.supernet = self.build_supernet()
        if isinstance(task.space, CellSpace):
            trellis_entropies = {"alpha_entropy", "beta_entropy"}
            self.logs = (self.logs - trellis_entropies) | {"normal_entropy", "reduction_entropy"}
        self.supernet.train()
        self.darts = self.rule(
            self.supernet,
            config,
            ignore_index=task.train_dataset.ignore_index,
            device=task.device,
        )
        self._costs = [
            (cost, expectation(cost.prices, device=task.device)) for cost in task_costs(task)
        ]
        self._limit = next((cost for cost, _ in self._costs if cost.limit is not None), None)
        for cost, expected in self._costs:
            self.logs = self.logs | {cost.log_name, f"expected_{cost.log_name}"}
            if cost.target is not None:
                penalty = CostPenalty(expected, weight=cost.weight, target=cost.target)
                penalty.join(self.darts.arch_optimizer, self.supernet.decoded_logits)
        num_arch_steps, num_warm_up_steps = _phases(task)
        self._num_search_steps = num_warm_up_steps + num_arch_steps
        # By the clock, the warm-up is the same part of the time.
        self._warm_up = (
            Fraction(num_warm_up_steps, self._num_search_steps)
            if config.budget is None
            else Fraction(config.arch_start_epoch, config.num_epochs)
        )
        self._val_indices = labelled_indices(task.val_dataset, config.val_images)
        self._val_clock = ValidationClock(config.val_share)
        self._val_interval = validation_interval(
            config,
            num_weight_passes=self._num_search_steps,
            num_arch_passes=num_arch_steps,
            num_images=len(self._val_indices),
            image_pixels=_largest_image(task),
        )
        self._decodes = DecodeHistory()
        self._num_weight_steps = self._num_arch_steps = self._num_scores = 0
        self._num_steps, self._search_share = self._num_search_steps, Fraction(1)
        self._selection: PerturbationSelection | None = None
        if "selection" in self.settings(config) and config.selection == "perturbation":
            self._selection = PerturbationSelection(
                trellis_supernet(self.supernet),
                ignore_index=task.train_dataset.ignore_index,
                seed=config.seed,
            )
            num_passes = self._num_search_steps + (
                self.rule.passes_per_architecture_step * num_arch_steps
            )
            self._num_steps += num_selection_steps(trellis_space(task.space), num_passes)
            self._search_share = (
                Fraction(self._num_search_steps, self._num_steps)
                if config.budget is None
                else 1 / (1 + SELECTION_SHARE)
            )
        self._batches: tuple[Iterator[Batch], Iterator[Batch]] | None = None
        self._arch_batch: Batch | None = None

    def build_supernet(self) -> AnySupernet:
        """Build the supernet with random weights."""
        recomputes = "recompute_cells" not in self.rule.unread and self.task.config.recompute_cells
        return build_supernet(self.task, recompute_cells=recomputes)

    @classmethod
    def settings(cls, config: SearchConfig) -> frozenset[str]:
        """Return all but those of other strategies, and those that mean nothing to the rule."""
        foreign = _OF_SAMPLES | (_OF_SUBCLASSES - cls.own)
        return frozenset(values_of(SearchConfig())) - foreign - cls.rule.unread - cls.unread

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse a crop that is too small for the space, a batch that does not fit trainB, a limit
        of cost that nothing keeps, or that the selection would not, and what is not for cells."""
        require_for_cells(task)
        require_crop_for_space(task)
        task.batches("b")  # never the larger half
        reads, limit = cls.settings(task.config), cost_limit(task)
        if "selection" in reads and task.config.selection == "perturbation" and limit is not None:
            raise UsageError(
                "--selection perturbation: it chooses without a limit of cost; leave --max-macs "
                "and --max-latency out, or use --selection argmax."
            )

    @property
    def announcement(self) -> str:
        """How often the supernet is scored, and what share of the search that takes."""
        config, (interval, share) = self.task.config, self._val_interval
        images = f"{len(self._val_indices)} images of val"
        if config.budget is not None:
            how = f"as often as {config.val_share:.0%} of the time allow"
        else:
            epochs = "every epoch" if interval == 1 else f"every {interval} epochs"
            epochs = "the last epoch" if interval == config.num_epochs else epochs
            how = f"after {epochs}, about {share:.0%} of the search"
        return f"the supernet is scored on {images} {how} (--val-share)"

    @property
    def num_steps(self) -> int:
        """Steps of the warm-up, those that move alpha and beta as well, and the selection's."""
        return self._num_steps

    @property
    def num_evaluations(self) -> int:
        """Passes of the supernet, for the half-steps and, forward alone, for the selection."""
        num_passes = self.rule.passes_per_architecture_step
        return self._num_weight_steps + num_passes * self._num_arch_steps + self._num_scores

    def step(self, step: int, share: Fraction) -> list[StepLoss]:
        """Move the weights and, after the warm-up, alpha and beta; at the end, select."""
        if self._batches is None:
            batches, decided = self.task.batches, self._selection
            num_decided = 0 if decided is None else decided.num_decided
            self._batches = (
                batches("a", start_step=self._num_weight_steps),
                batches("b", start_step=self._num_arch_steps + num_decided),
            )
        batches_a, batches_b = self._batches
        if self._selection is not None and share >= self._search_share:
            return self._selection_step(self._selection, share)
        done = share / self._search_share
        is_warm_up, progress = done < self._warm_up, float(done)
        self._arch_batch = None if is_warm_up else next(batches_b)
        moved = self.darts.step(next(batches_a), self._arch_batch, progress=progress)
        average_statistics_(self.supernet)
        self._num_weight_steps += 1
        losses = [StepLoss(_WEIGHTS, moved.weights, self.darts.weight_lr(progress))]
        if moved.architecture is not None:
            self._num_arch_steps += 1
            losses.append(StepLoss(_ARCHITECTURE, moved.architecture, self.task.config.arch_lr))
        return losses

    def _selection_step(self, selection: PerturbationSelection, share: Fraction) -> list[StepLoss]:
        """Make a choice where one is due, and move the weights of what is left elsewhere."""
        assert self._batches is not None
        batches_a, batches_b = self._batches
        done = (share - self._search_share) / (1 - self._search_share)
        num_due = int(done * num_decisions(trellis_space(self.task.space))) + 1
        if selection.num_decided < num_due:
            self._num_scores += selection.decide(next(batches_b))
            return []
        self.darts.weights_left = selection.weights
        loss = self.darts.tune(*next(batches_a))
        self._num_weight_steps += 1
        return [StepLoss(_WEIGHTS, loss, self.darts.weight_lr(1.0))]

    def rounds_done(self, share: Fraction) -> int:
        """Count the epochs, equal parts of the search, and the selection."""
        num_epochs = int(min(1, share / self._search_share) * self.task.config.num_epochs)
        return num_epochs + (self._selection is not None and share == 1)

    def end_round(self, step: int, share: Fraction, *, phase: Phase) -> Round:
        """Decode, and score the supernet on the val split where that is due; always at the end."""
        if self._selection is not None and share == 1:
            assert self._batches is not None
            while not self._selection.is_done:  # the time was over before
                self._num_scores += self._selection.decide(next(self._batches[1]))
        epoch = self.rounds_done(share)
        require_same_supernet(self.supernet, step=step)
        is_due = share == 1 or self._validation_is_due(epoch)
        # One image always: what is saved must not give NaN.
        indices = self._val_indices if is_due else self._val_indices[:1]
        # First, as it may be given up: so far nothing has changed.
        score = self._validate(indices, step, phase)
        decoded = self._decodes.decode(self.supernet)
        architecture = self.decode()
        shown = {
            **({"val_miou": score.mean_iou} if is_due else {}),
            **decoded.entropies,
            "skip_share": skip_share(architecture),
            **self._costs_of(architecture),
        }
        return Round(
            line={
                "epoch": epoch,
                **shown,
                **({"val_num_averaged": score.num_averaged} if is_due else {}),
                "architecture": architecture.to_dict(),
                "confidence": decoded.confidence(),
            },
            shown=shown,
            message=f"epoch {epoch}: {architecture.summary}",
        )

    def scored_network(self) -> nn.Module:
        """Return what is scored on the val split: the supernet, or what was selected of it."""
        if self._selection is not None and self._selection.is_done:
            found = trellis_architecture(self.decode())
            return SinglePath(trellis_supernet(self.supernet), found)
        return self.supernet

    def _validation_is_due(self, epoch: int) -> bool:
        if self.task.config.budget is not None:
            return self._val_clock.has_time(len(self._val_indices))
        return (self.task.config.num_epochs - epoch) % self._val_interval.num_epochs == 0

    def _validate(self, indices: list[int], step: int, phase: Phase) -> ValidationScore:
        task = self.task
        with phase("validating") as on_image, self._val_clock.validating(len(indices)):
            return validate(
                self.scored_network(),
                task.val_dataset,
                device=task.device,
                indices=indices,
                image_scale=task.config.image_scale,
                step=step,
                batch_pixels=pixels_together(task.config, num_classes=task.val_dataset.num_classes),
                on_image=on_image,
            )

    def vital_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Name all of the supernet's: each has a part in every step."""
        return self.supernet.named_parameters()

    def decode(self) -> AnyArchitecture:
        """Return what was selected, or what alpha and beta lead to, within a limit of cost."""
        if self._selection is not None:
            return self._selection.decode()
        if self._limit is None:
            return self.supernet.decode()
        return decode_limited(self._limit, self.supernet)

    def _costs_of(self, architecture: AnyArchitecture) -> dict[str, float]:
        """Return what is decoded costs, and what is expected, in each cost that was asked for."""
        costs: dict[str, float] = {}
        for cost, expected_cost in self._costs:
            with torch.no_grad():
                expected = float(expected_cost(*self.supernet.decoded_logits()))
            costs[cost.log_name] = cost.logged(cost_of(cost.prices, architecture))
            costs[f"expected_{cost.log_name}"] = cost.logged(expected)
        return costs

    def report(self) -> Report:
        """Tell margins, agreement with the last epochs, and what raises doubts."""
        decoded = self._decodes.decode(self.supernet)
        text = str(decoded)
        if self._limit is not None:
            limit = describe_limit(self._limit, decoded.architecture, self.decode())
            text = f"{limit}\n{text}"
        if self._selection is not None:
            word = "not " if self.decode() != decoded.architecture else ""
            told = f"Selected by perturbation; it is {word}what alpha and beta lead to, which are:"
            text = f"{told}\n{text}"
        return Report(text=text, doubts=decoded.doubts)

    def state_dict(self) -> dict[str, Any]:
        """Return supernet, optimizers, counts and the last decodes."""
        return {
            **self.darts.state_dict(),
            "decodes": self._decodes.state_dict(),
            "num_weight_steps": self._num_weight_steps,
            "num_arch_steps": self._num_arch_steps,
            "num_scores": self._num_scores,
            "selection": None if self._selection is None else self._selection.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self.darts.load_state_dict(state)
        self._decodes.load_state_dict(state["decodes"])
        if "step" in state:  # from before the steps were counted
            step = state["step"]
            num_arch_steps = max(0, step - int(self._warm_up * self._num_search_steps))
            state = {**state, "num_weight_steps": step, "num_arch_steps": num_arch_steps}
        self._num_weight_steps = state["num_weight_steps"]
        self._num_arch_steps = state["num_arch_steps"]
        self._num_scores = state.get("num_scores", 0)
        if self._selection is not None:
            self._selection.load_state_dict(state["selection"])
        self._batches = None


def _phases(task: SearchTask) -> tuple[int, int]:
    """Return the steps that move alpha and beta, and those of the warm-up before them."""
    config = task.config
    num_arch_epochs = config.num_epochs - config.arch_start_epoch
    if config.arch_steps == 0:
        return num_arch_epochs * task.steps_per_pass, config.arch_start_epoch * task.steps_per_pass
    warm_up = Fraction(config.arch_steps * config.arch_start_epoch, num_arch_epochs)
    return config.arch_steps, round(warm_up)


def _largest_image(task: SearchTask) -> int:
    """Return the pixels of the largest image of the val split as the network sees it."""
    return math.prod(
        round(side * task.config.image_scale) for side in task.val_dataset.largest_size
    )
