"""Steps of a retraining on drawn images, which show whether a batch fits into memory."""

from collections.abc import Callable

import torch
from torch import nn

from autoseg.config import TrainingConfig
from autoseg.data import SegmentationDataset
from autoseg.training.accumulation import add_gradients
from autoseg.training.averaging import averaged_network
from autoseg.training.batch_norm import prepare_batch_norm_
from autoseg.training.chosen_loss import build_loss, choose_loss, weights_of_classes
from autoseg.training.memory_format import lay_out_
from autoseg.training.optimisers import build_optimizer
from autoseg.training.precision import resolve_precision, tensor_float

_NUM_STEPS = 2
"""The optimizer's state, made in the first step, is there in the second from the start."""


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
        config: The recipe; its batch size is not read.
        dataset: The train split, for classes, channels and the loss's weights.
        device: Where the steps are made.

    Returns:
        A function of the images of each of a batch's `accumulate` parts. All parts are there and
        pass the network: from the second one on, gradients take memory beside its maps.
    """
    chosen = choose_loss(config, dataset)
    loss = build_loss(chosen, device=device)
    class_weights = weights_of_classes(chosen, device=device)
    precision = resolve_precision(config.precision, device)

    def step(part_size: int) -> None:
        network = build().to(device).train()
        lay_out_(network, config.memory_format)
        prepare_batch_norm_(network, config.batch_norm)
        optimizer = build_optimizer(network, config)
        average = averaged_network(network, config.ema_decay) if config.ema_decay > 0 else None
        batch_size = part_size * config.accumulate
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
                    num_parts=config.accumulate,
                    loss=loss,
                    class_weights=class_weights,
                    ignore_index=dataset.ignore_index,
                    precision=precision,
                )
            optimizer.step()
            if average is not None:
                average.update_parameters(network)

    return step
