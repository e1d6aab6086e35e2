"""What a training step takes of memory, and what it writes, counted before one is made."""

import itertools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from autoseg.config import TrainingConfig
from autoseg.training.batch_norm import prepare_batch_norm_
from autoseg.training.loss_functions import segmentation_loss
from autoseg.training.loss_functions.pixels import in_full_precision
from autoseg.training.precision import autocast, resolve_precision


class UncountableError(Exception):
    """A step that cannot be counted; the message says why."""


class StepTally(NamedTuple):
    """What a step takes."""

    memory_gib: float
    """The most that is held at one time, GiB (2**30 bytes)."""
    written_gb: float
    """What all operators of both passes write, held or not, GB (10**9 bytes)."""


class Storages(TorchDispatchMode):
    """Adds up the storages that operators make: those that are held together, and all."""

    def __init__(self) -> None:
        """Start at nothing: what was made before is not counted."""
        super().__init__()
        self.held_bytes = self.peak_bytes = self.made_bytes = 0
        self._held: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and count the storages of its results."""
        given = {_key(leaf) for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor) and (key := _key(leaf)) not in given:
                self._count(key, leaf.untyped_storage())
        return result

    def _count(self, key: int, storage: torch.UntypedStorage) -> None:
        if key in self._held:
            return
        num_bytes = storage.nbytes()

        def release(_: object) -> None:
            self.held_bytes -= num_bytes
            del self._held[key]

        self._held[key] = weakref.ref(storage, release)
        self.made_bytes += num_bytes
        self.held_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def count_step(
    build: Callable[[], nn.Module],
    config: TrainingConfig,
    *,
    num_images: int,
    num_classes: int,
    num_channels: int,
    device: torch.device,
) -> StepTally:
    """Count what a training step takes, without making one.

    A forward and a backward pass by cross-entropy run on tensors that have sizes and no numbers,
    and what their operators make is added up; of a batch in parts the first two, which the others
    are like. On top come weights and buffers, the optimizer's state (one number a weight for SGD,
    two for AdamW) and the averaged weights. Not counted: what libraries take by themselves (oneDNN,
    cuDNN and the CUDA context), the batch that is prepared meanwhile, the maps of class weights,
    and what processes send to each other.

    Args:
        build: Builds the network.
        config: The recipe.
        num_images: Images that this process has of a batch.
        num_classes: K.
        num_channels: Channels of an image.
        device: Where the step would be made; nothing is asked of it but its precision.

    Raises:
        UncountableError: If the network does not run on tensors without numbers, or the recipe
            keeps what is not counted.
    """
    if config.compile:
        raise UncountableError("the compiler decides which maps are kept (--compile)")
    if others := [name for name in config.loss if name != "cross_entropy"]:
        raise UncountableError(f"the maps of the loss {others[0]} are not counted")
    shape = (num_images, num_channels, *config.crop_size)
    try:
        return _count(build, config, shape=shape, num_classes=num_classes, device=device)
    # What is raised where an operator asks a tensor for its numbers: torch's errors, and NumPy's
    # and nanobind's.
    except (RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UncountableError(
            f"it does not run on tensors without numbers ({reason[:200]})"
        ) from error


def _count(
    build: Callable[[], nn.Module],
    config: TrainingConfig,
    *,
    shape: tuple[int, ...],
    num_classes: int,
    device: torch.device,
) -> StepTally:
    precision = resolve_precision(config.precision, device)
    # The CPU stands for every device: sizes are the same, and autocast takes the same operators.
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = build().train()
        # Synced norms would speak to the other processes; their maps are those of any other.
        is_frozen = config.batch_norm == "frozen"
        prepare_batch_norm_(network, "frozen" if is_frozen else "per-device")
        weights = sum(each.nbytes for each in network.parameters())
        trained = sum(each.nbytes for each in network.parameters() if each.requires_grad)
        buffers = sum(each.nbytes for each in network.buffers())
        with Storages() as storages:
            images = torch.empty(shape)
            target = torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
            parts = [each.chunk(config.accumulate) for each in (images, target)]
            written = []
            # From the second part on the gradients are there, and no part is larger than it.
            for part, labels in itertools.islice(zip(*parts, strict=True), 2):
                with autocast(precision, images.device):
                    output = network(part)
                loss = segmentation_loss(
                    output, labels, ignore_index=num_classes, loss=_cross_entropy
                )
                loss.backward()
                written.append(storages.made_bytes)
    further = images.shape[0] - sum(len(part) for part in parts[0][:2])
    made_bytes = written[-1]
    if further:
        made_bytes += (written[1] - written[0]) * further / len(parts[0][1])
    num_moments = {"sgd": int(config.momentum > 0), "adamw": 2}[config.optimizer]
    averaged = weights + buffers if config.ema_decay > 0 else 0
    kept = weights + buffers + num_moments * trained + averaged
    # At its step the optimizer has the gradients, and on a CPU makes a value of each weight more:
    # gradients with the penalty, or the roots that AdamW divides by.
    makes = device.type == "cpu" and (config.optimizer == "adamw" or config.weight_decay > 0)
    stepping = (2 if makes else 1) * trained
    return StepTally(
        memory_gib=(kept + max(storages.peak_bytes, stepping)) / 2**30,
        written_gb=made_bytes / 1e9,
    )


def _cross_entropy(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """Average over the pixels of this process alone: the others are not asked for theirs."""
    return F.cross_entropy(in_full_precision(logits), target, ignore_index=ignore_index)
