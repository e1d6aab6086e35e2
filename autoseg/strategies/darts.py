"""First-order DARTS on a supernet: two half-steps on two halves of the data."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from autoseg.config import SearchConfig
from autoseg.distributed import num_processes, sum_gradients_
from autoseg.strategies.graph import GraphedStep
from autoseg.strategies.space_kinds import AnySupernet
from autoseg.strategies.strategy import Batch
from autoseg.training import (
    SGD,
    Adam,
    ResolvedPrecision,
    autocast,
    cosine,
    resolve_precision,
    segmentation_loss,
    tensor_float,
)
from autoseg.upload import to_device


class StepLosses(NamedTuple):
    """Losses before each half of a step: scalars, on the device, without gradients."""

    weights: Tensor
    """Loss on the batch of trainA."""
    architecture: Tensor | None
    """Loss on the batch of trainB; None while alpha and beta rest."""


def can_use_graph(config: SearchConfig, device: torch.device) -> bool:
    """Tell whether a step that waits for nothing becomes one CUDA graph."""
    return config.cuda_graph and device.type == "cuda" and num_processes() == 1


class Darts:
    """Moves the weights on trainA and alpha and beta on trainB, in turn.

    First order: the architecture's gradient is taken at the present weights.

    A step never waits for the device: losses come back as tensors, learning rate and counters are
    tensors too, and clipping multiplies by a factor instead of asking whether to. On a GPU the
    whole step can therefore be one CUDA graph.

    Source: DARTS, arXiv 1806.09055, algorithm 1 with xi = 0; Auto-DeepLab, arXiv 1901.02985,
    section 4.2.
    """

    unread: ClassVar[frozenset[str]] = frozenset()
    """Settings that mean nothing here: "cuda_graph" where a step cannot be one."""
    passes_per_architecture_step: ClassVar[int] = 1
    """Forward and backward passes that move alpha and beta once."""

    moves_all_weights: ClassVar[bool] = True
    """Whether all weights take part in every step, as torch's fused SGD demands."""

    def __init__(
        self,
        supernet: AnySupernet,
        config: SearchConfig,
        *,
        ignore_index: int,
        device: torch.device,
    ) -> None:
        """Build the two optimizers.

        Args:
            supernet: On `device`.
            config: Learning rates and the like.
            ignore_index: Label of pixels that do not count.
            device: Where the supernet is.
        """
        self.supernet = supernet
        self.config = config
        self.ignore_index = ignore_index
        self.device = device
        self.precision: ResolvedPrecision = resolve_precision(config.precision, device)
        self._weights = supernet.weight_parameters()
        self._arch = supernet.arch_parameters()
        self.uses_graph = "cuda_graph" not in self.unread and can_use_graph(config, device)
        # fused: one kernel for many tensors, on the CPU too. It reads a float32 learning rate from
        # the device, whatever the parameters' dtype.
        self._weight_lr = torch.tensor(config.weight_lr, dtype=torch.float32, device=device)
        self.weight_optimizer = SGD(
            self._weights,
            lr=self._weight_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=self.moves_all_weights,
        )
        self.arch_optimizer = Adam(
            self._arch,
            lr=config.arch_lr,
            weight_decay=config.arch_weight_decay,
            fused=True,
            capturable=self.uses_graph,
        )
        self.weights_left: Callable[[], tuple[Tensor, Tensor]] | None = None
        """Gives the weights of operations and trellis edges while an architecture is selected; None
        for those of alpha and beta."""
        self._graphed: dict[bool, GraphedStep[StepLosses]] = {}

    def step(
        self, weight_batch: Batch, arch_batch: Batch | None = None, *, progress: float
    ) -> StepLosses:
        """Move the weights, and then alpha and beta.

        Args:
            weight_batch: A batch of trainA, on any device.
            arch_batch: A batch of trainB; None lets alpha and beta rest.
            progress: Share of the search that is done, in [0, 1]; sets the learning rate.

        Returns:
            The losses. The next step may overwrite them. One that is not finite is not noticed
            here, since that would mean to wait for it; see `PendingLosses`.
        """
        self._weight_lr.fill_(self.weight_lr(progress))
        batch = weight_batch if arch_batch is None else (*weight_batch, *arch_batch)
        return self._runner(has_arch=arch_batch is not None)(*batch)

    def weight_lr(self, progress: float) -> float:
        """Return the learning rate of the weights at a share of the search, in [0, 1]."""
        return cosine(progress, initial=self.config.weight_lr, final=self.config.weight_lr_final)

    def set_weight_decay(self, weight_decay: float) -> None:
        """Change the L2 penalty of the weights from the next step on."""
        for group in self.weight_optimizer.param_groups:
            group["weight_decay"] = weight_decay
        self._graphed.clear()  # a graph has recorded the one before

    def weight_step(self, images: Tensor, target: Tensor) -> Tensor:
        """Move the weights against the gradient of the loss on a batch of trainA.

        The learning rate is that of the last `step`, or the initial one.

        Args:
            images: Normalised, (N, 3, H, W).
            target: int64, (N, H, W).

        Returns:
            The loss before the step: a scalar, on the device, without gradient.
        """
        loss = self._backward(self._weights, self.weight_optimizer, images, target)
        if self.config.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self._weights, self.config.gradient_clip)
        self.weight_optimizer.step()
        return loss

    def architecture_step(self, images: Tensor, target: Tensor) -> Tensor:
        """Move alpha and beta against the gradient of the loss on a batch of trainB.

        Arguments and result are those of `weight_step`.
        """
        loss = self._backward(self._arch, self.arch_optimizer, images, target)
        self.arch_optimizer.step()
        return loss

    def _backward(
        self,
        parameters: list[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        images: Tensor,
        target: Tensor,
    ) -> Tensor:
        """Leave the gradient of the loss in the parameters, and return the loss."""
        # None, not 0: a CUDA graph has to allocate its gradients itself.
        optimizer.zero_grad(set_to_none=True)
        with self._loss(parameters, images, target) as loss:
            loss.backward()
        sum_gradients_(parameters)
        return loss.detach()

    def gradients(
        self, parameters: Sequence[nn.Parameter], images: Tensor, target: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the loss and its gradient, one tensor for each parameter; nothing is moved."""
        with self._loss(parameters, images, target) as loss:
            gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        return loss.detach(), gradients

    def predict(self, images: Tensor) -> Tensor:
        """Return the logits whose loss a half-step lowers: (N, 3, H, W) to (N, K, H, W)."""
        if self.weights_left is None:
            return self.supernet(images)
        return self.supernet.forward_weighted(images, *self.weights_left())

    def tune(self, images: Tensor, target: Tensor) -> Tensor:
        """Move the weights at the final learning rate; arguments and result of `weight_step`."""
        self._weight_lr.fill_(self.weight_lr(1.0))
        return self.weight_step(images, target)

    @contextmanager
    def _loss(
        self, parameters: Sequence[nn.Parameter], images: Tensor, target: Tensor
    ) -> Iterator[Tensor]:
        """Give the loss on a batch, to be differentiated by these parameters inside."""
        images, target = to_device(images, self.device), to_device(target, self.device)
        with self.supernet.only_gradients_of(parameters), tensor_float(self.precision):
            with autocast(self.precision, self.device):
                logits = self.predict(images)
            yield segmentation_loss(logits, target, ignore_index=self.ignore_index)

    def _half_steps(self, *batch: Tensor) -> StepLosses:
        """Make one or both half-steps from (images, target) or (images, target, images, target)."""
        weights = self.weight_step(*batch[:2])
        return StepLosses(weights, self.architecture_step(*batch[2:]) if batch[2:] else None)

    def _runner(self, *, has_arch: bool) -> Callable[..., StepLosses]:
        if not self.uses_graph:
            return self._half_steps
        if has_arch not in self._graphed:
            # The graph of the weights' half-step alone is of no use any more: free its memory.
            self._graphed.clear()
            self._graphed[has_arch] = GraphedStep(self._half_steps, device=self.device)
        return self._graphed[has_arch]

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on: supernet and both optimizers."""
        return {
            "supernet": self.supernet.state_dict(),
            "weight_optimizer": self.weight_optimizer.state_dict()["state"],
            "arch_optimizer": self.arch_optimizer.state_dict()["state"],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned, on this device or another."""
        self.supernet.load_state_dict(state["supernet"])
        _load_state(self.weight_optimizer, state["weight_optimizer"])
        _load_state(self.arch_optimizer, state["arch_optimizer"])
        # A graph refers to the optimizers' tensors from before.
        self._graphed.clear()


def _load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load momenta and counters, and keep the settings: those of this device, the rate a tensor."""
    own = [dict(group) for group in optimizer.param_groups]
    param_groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": param_groups})
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)
