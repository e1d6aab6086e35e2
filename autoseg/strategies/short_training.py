"""A drawn architecture, trained for a few steps to be scored."""

from bisect import bisect_right
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.architecture import AnyArchitecture, CellArchitecture, CellSpace, Space
from autoseg.networks import build_network
from autoseg.strategies.strategy import Batch, SearchTask
from autoseg.training import (
    SGD,
    DivergedError,
    PendingLosses,
    ResolvedPrecision,
    autocast,
    cosine,
    resolve_precision,
    segmentation_loss,
    tensor_float,
)
from autoseg.upload import to_device

_STEM_CHANNELS = 128
"""Channels behind the stem of an architecture's network at width 1."""


def search_width(space: Space) -> float:
    """Return the width at which a network has the stem of the space."""
    return space.stem_channels[-1] / _STEM_CHANNELS


def build_candidate(task: SearchTask, architecture: AnyArchitecture) -> nn.Module:
    """Build an architecture's network as `retrain` does, in the sizes of the search space."""
    if isinstance(architecture, CellArchitecture) and isinstance(task.space, CellSpace):
        architecture = replace(architecture, num_cells=task.space.num_cells)
    return build_network(
        architecture,
        num_classes=task.train_dataset.num_classes,
        in_channels=task.train_dataset.num_channels,
        width=search_width(task.space),
        filter_multiplier=task.space.filter_multiplier,
    )


class ShortTraining:
    """Trains one architecture's network from scratch, in the sizes of the search space.

    Every architecture starts from the same seed, so that its score is a function of the settings
    and of itself alone.

    Attributes:
        architecture: What is trained.
        network: On the task's device, in training mode.
        num_done: Steps done.
    """

    def __init__(
        self, task: SearchTask, architecture: AnyArchitecture, *, cycles: tuple[int, ...] = ()
    ) -> None:
        """Build the network and its optimizer; torch's global generator stays as it is.

        Args:
            task: What is searched.
            architecture: What is trained.
            cycles: Steps at which a cycle of the learning rate ends and the next begins, ascending;
                the last is `sample_steps`. (): one cycle.
        """
        config = task.config
        self._cycles = cycles or (config.sample_steps,)
        self.architecture = architecture
        self.num_done = 0
        self._task = task
        self._precision: ResolvedPrecision = resolve_precision(config.precision, task.device)
        self._losses = PendingLosses()
        self._failure: str | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network: nn.Module = build_candidate(task, architecture).to(task.device)
        self.network.train()
        self._optimizer = SGD(
            self.network.parameters(),
            lr=config.weight_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            foreach=True,
        )

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step: a cosine over each cycle.

        Source: Loshchilov and Hutter 2017, "SGDR", arXiv 1608.03983, equation 5.
        """
        config = self._task.config
        number = min(bisect_right(self._cycles, self.num_done), len(self._cycles) - 1)
        start, end = (0, *self._cycles)[number], self._cycles[number]
        progress = (self.num_done - start) / (end - start)
        return cosine(progress, initial=config.weight_lr, final=config.weight_lr_final)

    @property
    def is_done(self) -> bool:
        """True after the last step."""
        return self.num_done == self._task.config.sample_steps

    def step(self, batch: Batch) -> Tensor:
        """Move the weights.

        Args:
            batch: Images and targets of trainA, on any device.

        Returns:
            The loss before the step: a scalar, on the device, without gradient.
        """
        task = self._task
        images, target = (to_device(tensor, task.device) for tensor in batch)
        rate = self.learning_rate
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        with tensor_float(self._precision):
            with autocast(self._precision, task.device):
                logits = self.network(images)
            loss = segmentation_loss(logits, target, ignore_index=task.train_dataset.ignore_index)
            loss.backward()
        if task.config.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.network.parameters(), task.config.gradient_clip)
        self._optimizer.step()
        self._losses.add(
            loss, step=self.num_done, learning_rate=rate, what="sample's (--weight-lr)"
        )
        self.num_done += 1
        return loss.detach()

    def failure(self) -> str | None:
        """Wait for the device, and say which loss was not finite; None if all were."""
        try:
            self._losses.read()
        except DivergedError as error:
            self._failure = self._failure or error.cause
        return self._failure

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on: network, optimizer, step, and its failure."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "num_done": self.num_done,
            "failure": self.failure(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.num_done = state["num_done"]
        self._losses, self._failure = PendingLosses(), state.get("failure")  # older ones lack it
