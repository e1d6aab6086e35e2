"""The largest batch whose training step fits into a GPU's memory, found by trying."""

import gc
from collections.abc import Callable

import torch
from torch import nn

from autoseg.config import TrainingConfig
from autoseg.data import SegmentationDataset
from autoseg.training.accumulation import add_gradients
from autoseg.training.averaging import averaged_network
from autoseg.training.batch_norm import prepare_batch_norm_
from autoseg.training.chosen_loss import build_loss, choose_loss, weights_of_classes
from autoseg.training.memory import is_out_of_memory
from autoseg.training.optimisers import build_optimizer
from autoseg.training.precision import resolve_precision, tensor_float

USED_SHARE = 0.9
"""Share of a GPU's memory that a tried step may take: later steps find it in other pieces."""

_NUM_STEPS = 2
"""The optimizer's state, made in the first step, is there in the second from the start."""


def largest_batch(step: Callable[[int], None], *, smallest: int, largest: int) -> int | None:
    """Find the largest batch that can be stepped: double while it fits, then halve the interval.

    Args:
        step: Makes steps of so many images; raises where memory runs out. What fits is taken to
            fit with fewer images as well.
        smallest: The first batch that is tried.
        largest: Batches beyond it are of no use.

    Returns:
        Its images; None if the smallest does not fit.
    """
    fitting, failing, tried = smallest - 1, largest + 1, smallest
    while failing - fitting > 1:
        if _fits(step, tried):
            fitting = tried
        else:
            failing = tried
        is_bounded = failing <= largest
        tried = (fitting + failing) // 2 if is_bounded else min(2 * tried, largest)
    return fitting if fitting >= smallest else None


def _fits(step: Callable[[int], None], batch_size: int) -> bool:
    try:
        step(batch_size)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        gc.collect()
        torch.cuda.empty_cache()
    return True


def training_step(
    build: Callable[[], nn.Module],
    config: TrainingConfig,
    *,
    dataset: SegmentationDataset,
    device: torch.device,
) -> Callable[[int], None]:
    """Return what makes a retraining's steps on drawn images, with a network of its own each time.

    Args:
        build: Builds the network.
        config: The recipe; its batch size is not read, and a step takes one part of `accumulate`.
        dataset: The train split, for classes, channels and the loss's weights.
        device: Where the steps are made.
    """
    chosen = choose_loss(config, dataset)
    loss = build_loss(chosen, device=device)
    class_weights = weights_of_classes(chosen, device=device)
    precision = resolve_precision(config.precision, device)

    def step(batch_size: int) -> None:
        network = build().to(device).train()
        prepare_batch_norm_(network, config.batch_norm)
        optimizer = build_optimizer(network, config)
        average = averaged_network(network, config.ema_decay) if config.ema_decay > 0 else None
        images = torch.randn(batch_size, dataset.num_channels, *config.crop_size, device=device)
        shape = (batch_size, *config.crop_size)
        target = torch.randint(dataset.num_classes, shape, device=device)
        for _ in range(_NUM_STEPS):
            with tensor_float(precision):
                optimizer.zero_grad()
                add_gradients(
                    network,
                    images,
                    target,
                    num_parts=1,
                    loss=loss,
                    class_weights=class_weights,
                    ignore_index=dataset.ignore_index,
                    precision=precision,
                )
            optimizer.step()
            if average is not None:
                average.update_parameters(network)

    return step
