"""DARTS that goes back before the architecture runs into a sharp minimum."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from autoseg.errors import UsageError
from autoseg.runs import PhaseStoppedError
from autoseg.strategies.curvature import (
    MAX_PRODUCTS,
    RADIUS,
    hessian_product,
    largest_eigenvalue,
)
from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.stopping import (
    DECAY_FACTOR,
    MAX_DECAY,
    STOPPING_RULES,
    Rises,
    find_rises,
    regularised_decay,
)
from autoseg.strategies.strategy import Batch, Phase, Report, Round, SearchTask
from autoseg.supernet.batch_norm import frozen_statistics
from autoseg.training import segmentation_loss, tensor_float
from autoseg.upload import to_device


class RobustSearch(DartsSearch):
    """A search by DARTS that watches the curvature of the validation loss over alpha and beta.

    After each epoch that moved alpha and beta, the largest eigenvalue of the Hessian of the loss
    on the epoch's last batch of trainB is measured, at the present weights, with batch norm in
    training mode. When it rises by the rule of `--stop-rule`, alpha and beta become those of the
    epoch before the rise, and the search ends; or goes on with a larger weight decay, as long as
    that may grow (`--on-rise regularise`).

    Source: Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search",
    arXiv 1909.09656, sections 3.2, 4.3 and 5.3.
    """

    logs = DartsSearch.logs | {"lambda_max"}
    own = frozenset({"stop_rule", "on_rise"})
    unread = frozenset({"selection"})

    def __init__(self, task: SearchTask) -> None:
        """Build supernet and optimizers; nothing is measured yet."""
        super().__init__(task)
        self._stopping = STOPPING_RULES[task.config.stop_rule]
        self._eigenvalues: list[float] = []
        self._passed: list[tuple[Tensor, Tensor]] = []
        self._num_products = self._num_answered = 0
        self._stopped: str | None = None

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse what DARTS refuses, and a weight decay that a rise could not enlarge."""
        super().check(task)
        decay = task.config.weight_decay
        if task.config.on_rise == "regularise" and not 0 < decay < MAX_DECAY:
            raise UsageError(
                f"on_rise = regularise multiplies weight_decay = {decay:g} by {DECAY_FACTOR}, up "
                f"to {MAX_DECAY:g}; use a --weight-decay between 0 and that, or --on-rise stop."
            )

    @property
    def num_evaluations(self) -> int:
        """Count those of DARTS, and two for each product with the Hessian."""
        return super().num_evaluations + 2 * self._num_products

    def end_round(self, step: int, share: Fraction, *, phase: Phase) -> Round:
        """Measure, score and decode, and go back where the curvature has risen."""
        batch, num_products = self._measured_batch(), self._num_products
        try:
            with phase("measuring the curvature") as on_product:
                value = None if batch is None else self.lambda_max(batch, on_product=on_product)
            end = super().end_round(step, share, phase=phase)
        except PhaseStoppedError:
            self._num_products = num_products
            raise
        if value is None:
            return end
        alpha, beta = self.supernet.arch_parameters()
        self._eigenvalues.append(value)
        self._passed.append((alpha.detach().clone(), beta.detach().clone()))
        message, rises = end.message, self._rises()
        if rises.num_rises > self._num_answered:
            told = self._answer(rises, epoch=self.rounds_done(share))
            message += f"\n{told}"
        line = {**end.line, "lambda_max": self._eigenvalues[-1]}
        shown = {**end.shown, "lambda_max": self._eigenvalues[-1]}
        return replace(
            end, line=line, shown=shown, message=message, is_last=self._stopped is not None
        )

    def _measured_batch(self) -> Batch | None:
        """Return the last batch of trainB; None during the warm-up, which uses none."""
        if self._arch_batch is None and self._num_arch_steps > 0:  # of before the search went on
            return next(self.task.batches("b", start_step=self._num_arch_steps - 1))
        return self._arch_batch

    @property
    def _num_regularised(self) -> int:
        """Rises after which the search went on."""
        return self._num_answered - (self._stopped is not None)

    @property
    def _weight_decay(self) -> float:
        decay = regularised_decay(self.task.config.weight_decay, self._num_regularised)
        assert decay is not None  # it would have stopped
        return decay

    def _rises(self) -> Rises:
        return find_rises(self._stopping, self._eigenvalues)

    def _answer(self, rises: Rises, *, epoch: int) -> str:
        """Go back, regularise or stop, and say so."""
        config, number = self.task.config, rises.kept[-1]
        earlier = epoch - (len(self._passed) - 1 - number)
        self._num_answered = rises.num_rises
        self._go_back(rises)
        decay = regularised_decay(config.weight_decay, rises.num_rises)
        if config.on_rise == "stop" or decay is None:
            self._stopped = (
                f"Stopped after epoch {epoch}, where the curvature had risen; alpha and beta are "
                f"those of epoch {earlier}."
            )
            return self._stopped
        self.darts.arch_optimizer.state.clear()  # its moments are those of what is dropped
        self.darts.set_weight_decay(decay)
        return (
            f"After epoch {epoch} the curvature had risen; alpha and beta are those of epoch "
            f"{earlier} again, and the weight decay is {decay:g} from here on."
        )

    def lambda_max(
        self, batch: Batch, *, on_product: Callable[[int, int], None] | None = None
    ) -> float:
        """Return the largest eigenvalue of the Hessian over alpha and beta on a batch of trainB.

        The architecture's weight decay counts, as in the authors' code: it adds itself. In fp32
        whatever the search's precision, since differences of bf16 gradients are noise.
        """
        supernet, config, device = self.supernet, self.task.config, self.task.device
        arch = supernet.arch_parameters()
        images, target = (to_device(tensor, device) for tensor in batch)

        def gradient() -> tuple[Tensor, ...]:
            with (
                supernet.only_gradients_of(arch),
                tensor_float("fp32"),
                frozen_statistics(supernet),
            ):
                loss = segmentation_loss(
                    supernet(images), target, ignore_index=self.task.train_dataset.ignore_index
                )
                return torch.autograd.grad(loss, arch)

        num_products = 0

        def product(direction: Tensor) -> Tensor:
            nonlocal num_products
            image = hessian_product(arch, gradient, direction, radius=RADIUS)
            self._num_products += 1
            num_products += 1
            if on_product is not None:
                on_product(num_products, MAX_PRODUCTS)
            return image

        # Entries of beta that belong to no edge have no curvature: they are left out of the start.
        live = torch.cat([slope.flatten() != 0 for slope in gradient()]).cpu()
        generator = torch.Generator().manual_seed(config.seed)
        start = torch.randn(len(live), generator=generator, dtype=torch.float64) * live
        return largest_eigenvalue(product, start) + config.arch_weight_decay

    def _go_back(self, rises: Rises) -> None:
        passed = [self._passed[number] for number in rises.kept]
        with torch.no_grad():
            for own, value in zip(self.supernet.arch_parameters(), passed[-1], strict=True):
                own.copy_(value)
        # What is decoded is judged by the epochs before it, and not by those that are dropped.
        earlier = [(a.cpu(), b.cpu()) for a, b in passed]
        self._decodes.load_state_dict({"earlier": earlier})

    def report(self) -> Report:
        """Tell what DARTS tells, and whether the rule has stopped the search, or could have."""
        report, num_measured = super().report(), len(self._eigenvalues)
        if self._num_regularised:
            told = f"Weight decay after {self._num_regularised} rise(s) of the curvature"
            report = replace(report, text=f"{report.text}\n{told}: {self._weight_decay:g}.")
        if self._stopped is not None:
            return replace(report, text=f"{report.text}\n{self._stopped}")
        if self._num_answered:
            return report
        needed = self._stopping.num_needed
        if num_measured >= needed:
            return replace(report, text=f"{report.text}\nThe curvature has not risen.")
        doubt = (
            f"Measurements of the curvature: {num_measured}; --stop-rule "
            f"{self.task.config.stop_rule} needs {needed}: nothing could have stopped this search; "
            f"use --num-epochs and --arch-start-epoch that lie {needed} apart."
        )
        return report.with_doubt(doubt)

    def state_dict(self) -> dict[str, Any]:
        """Return what DARTS returns, eigenvalues, and alpha and beta of the epochs."""
        return {
            **super().state_dict(),
            "eigenvalues": list(self._eigenvalues),
            "passed": list(self._passed),
            "num_products": self._num_products,
            "stopped": self._stopped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        super().load_state_dict(state)
        self._eigenvalues = list(state["eigenvalues"])
        self._passed = [(alpha, beta) for alpha, beta in state["passed"]]
        self._num_products, self._stopped = state["num_products"], state["stopped"]
        self._num_answered = self._rises().num_rises
        self.darts.set_weight_decay(self._weight_decay)
