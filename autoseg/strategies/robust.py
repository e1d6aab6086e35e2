"""DARTS that stops before the architecture runs into a sharp minimum, and goes back."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from autoseg.strategies.curvature import RADIUS, hessian_product, largest_eigenvalue
from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.graph import to_device
from autoseg.strategies.stopping import STOPPING_RULES
from autoseg.strategies.strategy import Batch, Phase, Report, Round, SearchTask
from autoseg.supernet.batch_norm import frozen_statistics
from autoseg.training import segmentation_loss, tensor_float


class RobustSearch(DartsSearch):
    """A search by DARTS that watches the curvature of the validation loss over alpha and beta.

    After each epoch that moved alpha and beta, the largest eigenvalue of the Hessian of the loss
    on the epoch's last batch of trainB is measured, at the present weights, with batch norm in
    training mode. When it rises by the rule of `--stop-rule`, the search ends with the alpha and
    beta of the epoch before the rise.

    Source: Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search",
    arXiv 1909.09656, sections 3.2 and 4.3.
    """

    logs = DartsSearch.logs | {"lambda_max"}
    own = frozenset({"stop_rule"})
    unread = frozenset({"selection"})

    def __init__(self, task: SearchTask) -> None:
        """Build supernet and optimizers; nothing is measured yet."""
        super().__init__(task)
        self._stopping = STOPPING_RULES[task.config.stop_rule]
        self._eigenvalues: list[float] = []
        self._passed: list[tuple[Tensor, Tensor]] = []
        self._num_products = 0
        self._stopped: str | None = None

    @property
    def num_evaluations(self) -> int:
        """Count those of DARTS, and two for each product with the Hessian."""
        return super().num_evaluations + 2 * self._num_products

    def end_round(self, step: int, share: Fraction, *, phase: Phase) -> Round:
        """Score and decode, measure, and go back where the curvature has risen."""
        end = super().end_round(step, share, phase=phase)
        if self._arch_batch is None:
            return end
        alpha, beta = self.supernet.arch_parameters()
        self._eigenvalues.append(self.lambda_max(self._arch_batch))
        self._passed.append((alpha.detach().clone(), beta.detach().clone()))
        message, number = end.message, self._stopping.returned(self._eigenvalues)
        if number is not None:
            epoch = self.rounds_done(share)
            earlier = epoch - (len(self._passed) - 1 - number)
            self._stopped = (
                f"Stopped after epoch {epoch}, where the curvature had risen; alpha and beta are "
                f"those of epoch {earlier}."
            )
            self._go_back(number)
            message += f"\n{self._stopped}"
        line = {**end.line, "lambda_max": self._eigenvalues[-1]}
        shown = {**end.shown, "lambda_max": self._eigenvalues[-1]}
        return replace(end, line=line, shown=shown, message=message, is_last=number is not None)

    def lambda_max(self, batch: Batch) -> float:
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

        def product(direction: Tensor) -> Tensor:
            self._num_products += 1
            return hessian_product(arch, gradient, direction, radius=RADIUS)

        # Entries of beta that belong to no edge have no curvature: they are left out of the start.
        live = torch.cat([slope.flatten() != 0 for slope in gradient()]).cpu()
        generator = torch.Generator().manual_seed(config.seed)
        start = torch.randn(len(live), generator=generator, dtype=torch.float64) * live
        return largest_eigenvalue(product, start) + config.arch_weight_decay

    def _go_back(self, number: int) -> None:
        with torch.no_grad():
            for own, passed in zip(
                self.supernet.arch_parameters(), self._passed[number], strict=True
            ):
                own.copy_(passed)
        # What is decoded is judged by the epochs before it, and not by those that are dropped.
        earlier = [(a.cpu(), b.cpu()) for a, b in self._passed[: number + 1]]
        self._decodes.load_state_dict({"earlier": earlier})

    def report(self) -> Report:
        """Tell what DARTS tells, and whether the rule has stopped the search, or could have."""
        report, num_measured = super().report(), len(self._eigenvalues)
        if self._stopped is not None:
            return replace(report, text=f"{report.text}\n{self._stopped}")
        needed = self._stopping.num_needed
        if num_measured >= needed:
            return replace(report, text=f"{report.text}\nThe curvature has not risen.")
        doubt = (
            f"Measurements of the curvature: {num_measured}; --stop-rule "
            f"{self.task.config.stop_rule} needs {needed}: nothing could have stopped this search; "
            f"use --num-epochs and --arch-start-epoch that lie {needed} apart."
        )
        return replace(report, text=f"{report.text}\n{doubt}", doubts=(*report.doubts, doubt))

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
