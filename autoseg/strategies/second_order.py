"""Second-order DARTS: the architecture's gradient looks one step of the weights ahead."""

import torch
from torch import Tensor, nn

from autoseg.strategies.darts import Darts, StepLosses
from autoseg.strategies.darts_search import DartsSearch
from autoseg.strategies.shifted import shifted
from autoseg.strategies.strategy import Batch
from autoseg.supernet.batch_norm import frozen_statistics

_RADIUS = 0.01
"""How far the weights are moved to either side, as a norm: DARTS' footnote 2."""


class SecondOrderDarts(Darts):
    """Moves alpha and beta by the loss that the weights' next step would lead to.

    With w the weights, a alpha and beta, and xi the weights' learning rate,

        w' = w - xi (momentum velocity + grad_w L_trainA(w, a) + weight_decay w),
        grad_a L_trainB(w', a) - xi grad_a grad_w L_trainA(w, a) v,  v = grad_w' L_trainB(w', a),

    the mixed derivative by central differences: (grad_a L_trainA(w + R v, a) - grad_a
    L_trainA(w - R v, a)) / 2R, R = 0.01 / |v|. Momentum and weight decay are those of the weights'
    optimizer, as in DARTS' code, and so is what is not there: clipping. As velocity and decay do
    not depend on a, the product above is the exact derivative of L_trainB(w', a) but for R.

    As in algorithm 1, and unlike Auto-DeepLab, alpha and beta move first, and then the weights, on
    the same batch of trainA. No model is copied: the weights are shifted in place and set back. The
    four passes for alpha and beta leave batch norm's running statistics as they are.

    Source: DARTS, arXiv 1806.09055, equations 6 to 8 and algorithm 1.
    """

    unread = frozenset({"cuda_graph"})
    passes_per_architecture_step = 4

    def unrolled_gradient(
        self, weight_batch: Batch, arch_batch: Batch
    ) -> tuple[Tensor, list[Tensor]]:
        """Return L_trainB(w', a) and its gradient by alpha and beta; nothing is moved.

        The learning rate is that of the last `step`, or the initial one.

        Args:
            weight_batch: A batch of trainA.
            arch_batch: A batch of trainB.
        """
        weights, arch, rate = self._weights, self._arch, self._weight_lr
        _, slopes = self._gradients(weights, weight_batch)
        with shifted(weights, self._velocities(slopes), -rate):
            loss, both = self._gradients([*arch, *weights], arch_batch)
        direct, ahead = both[: len(arch)], both[len(arch) :]
        norm = torch.stack([slope.norm() for slope in ahead]).norm()
        # Where the gradient is 0, so is the product, whatever the radius.
        radius = _RADIUS / norm.clamp_min(torch.finfo(norm.dtype).tiny ** 0.5)
        sides = []
        for scale in (radius, -radius):
            with shifted(weights, ahead, scale):
                sides.append(self._gradients(arch, weight_batch)[1])
        products = [(plus - minus) / (2 * radius) for plus, minus in zip(*sides, strict=True)]
        return loss, [
            first - rate * product for first, product in zip(direct, products, strict=True)
        ]

    def unrolled_step(self, weight_batch: Batch, arch_batch: Batch) -> Tensor:
        """Move alpha and beta by `unrolled_gradient`, and return the loss."""
        loss, gradient = self.unrolled_gradient(weight_batch, arch_batch)
        for parameter, slope in zip(self._arch, gradient, strict=True):
            parameter.grad = slope
        self.arch_optimizer.step()
        return loss

    def _half_steps(self, *batch: Tensor) -> StepLosses:
        """Move alpha and beta, if there is a batch for them, and then the weights."""
        images, target, *validation = batch
        arch_loss = None
        if validation:
            arch_loss = self.unrolled_step((images, target), (validation[0], validation[1]))
        return StepLosses(self.weight_step(images, target), arch_loss)

    def _gradients(
        self, parameters: list[nn.Parameter], batch: Batch
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        with frozen_statistics(self.supernet):
            return self.gradients(parameters, *batch)

    def _velocities(self, slopes: tuple[Tensor, ...]) -> list[Tensor]:
        """Return what the optimizer would subtract from the weights, times the learning rate."""
        config, state = self.config, self.weight_optimizer.state
        velocities = []
        for weight, slope in zip(self._weights, slopes, strict=True):
            velocity = slope + config.weight_decay * weight.detach()
            momentum = state[weight].get("momentum_buffer") if weight in state else None
            if momentum is not None:
                velocity = velocity + config.momentum * momentum
            velocities.append(velocity)
        return velocities


class SecondOrderSearch(DartsSearch):
    """A search by DARTS whose architecture's gradient looks one step of the weights ahead."""

    rule = SecondOrderDarts
