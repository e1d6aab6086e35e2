"""First-order DARTS on a supernet: two half-steps on two halves of the data."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from autoseg.strategies.config import SearchConfig
from autoseg.supernet import Supernet
from autoseg.training import autocast, cosine, require_finite, resolve_precision, segmentation_loss


class Darts:
    """Moves the weights on trainA and alpha and beta on trainB, in turn.

    First order: the architecture's gradient is taken at the present weights.

    Source: DARTS, arXiv 1806.09055, algorithm 1 with xi = 0; Auto-DeepLab, arXiv 1901.02985,
    section 4.2.
    """

    def __init__(
        self, supernet: Supernet, config: SearchConfig, *, ignore_index: int, device: torch.device
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
        self.precision: Literal["fp32", "bf16"] = resolve_precision(config.precision, device)
        self.weight_optimizer = torch.optim.SGD(
            supernet.weight_parameters(),
            lr=config.weight_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            foreach=True,
        )
        self.arch_optimizer = torch.optim.Adam(
            supernet.arch_parameters(), lr=config.arch_lr, weight_decay=config.arch_weight_decay
        )

    def weight_step(self, images: Tensor, target: Tensor, *, step: int, progress: float) -> float:
        """Move the weights against the gradient of the loss on a batch of trainA.

        Args:
            images: Normalised, (N, 3, H, W).
            target: int64, (N, H, W).
            step: Number of the step, for the message if the loss is not finite.
            progress: Share of the search that is done, in [0, 1]; sets the learning rate.

        Returns:
            The loss before the step.

        Raises:
            DivergedError: If the loss is not finite.
        """
        rate = cosine(progress, initial=self.config.weight_lr, final=self.config.weight_lr_final)
        for group in self.weight_optimizer.param_groups:
            group["lr"] = rate
        weights = self.supernet.weight_parameters()
        with self.supernet.only_gradients_of(weights):
            loss = self._loss(images, target)
            value = loss.item()
            require_finite(value, step=step, learning_rate=rate, what="weights' (--weight-lr)")
            self.weight_optimizer.zero_grad()
            loss.backward()
        if self.config.gradient_clip > 0:
            nn.utils.clip_grad_norm_(weights, self.config.gradient_clip)
        self.weight_optimizer.step()
        return value

    def architecture_step(self, images: Tensor, target: Tensor, *, step: int) -> float:
        """Move alpha and beta against the gradient of the loss on a batch of trainB.

        Arguments, result and errors are those of `weight_step`.
        """
        with self.supernet.only_gradients_of(self.supernet.arch_parameters()):
            loss = self._loss(images, target)
            value = loss.item()
            require_finite(
                value,
                step=step,
                learning_rate=self.config.arch_lr,
                what="architecture's (--arch-lr)",
            )
            self.arch_optimizer.zero_grad()
            loss.backward()
        self.arch_optimizer.step()
        return value

    def _loss(self, images: Tensor, target: Tensor) -> Tensor:
        images, target = images.to(self.device), target.to(self.device)
        with autocast(self.precision, self.device):
            logits = self.supernet(images)
        return segmentation_loss(logits, target, ignore_index=self.ignore_index)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on: supernet and both optimizers."""
        return {
            "supernet": self.supernet.state_dict(),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self.supernet.load_state_dict(state["supernet"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.arch_optimizer.load_state_dict(state["arch_optimizer"])
