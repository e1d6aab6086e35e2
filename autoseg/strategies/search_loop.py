"""The search loop."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from autoseg.architecture import Architecture, SearchSpace
from autoseg.config import SearchConfig
from autoseg.data import SegmentationDataset, split_half
from autoseg.errors import UsageError
from autoseg.runs import (
    COMPILING,
    Progress,
    Run,
    StopRequest,
    restore_rng_state,
    rng_state,
    schema,
)
from autoseg.strategies.darts import Darts
from autoseg.strategies.decode_history import DecodeHistory
from autoseg.strategies.statistics import (
    alpha_entropy,
    beta_entropy,
    near_uniform,
    skip_share,
)
from autoseg.supernet import Supernet
from autoseg.training import PendingLosses, augmented_batches, labelled_indices, validate

STRATEGIES = {"darts": Darts}
"""Search strategies by name."""

_WEIGHTS, _ARCHITECTURE = "weights' (--weight-lr)", "architecture's (--arch-lr)"
"""Names of the two losses, with the option of each one's learning rate."""

_STATE = schema.fields(
    required={
        "strategy": schema.mapping,
        "rng": schema.mapping,
        "step": schema.whole(),
        "loss_sum": schema.number(),
    },
    allowed={"decodes": schema.mapping},  # checkpoints did not hold it at first
)
"""What a checkpoint of a search holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """How a search ended."""

    architecture: Architecture
    """What alpha and beta decode to now."""
    epoch: int
    """Epochs done."""
    step: int
    """Steps done."""
    is_finished: bool
    """False if it was asked to stop; `--resume` goes on."""
    doubt: str | None
    """What a person must know who takes the architecture for a result; None if nothing."""


def half_batches(
    dataset: SegmentationDataset,
    config: SearchConfig,
    *,
    half: Literal["a", "b"],
    start_step: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the batches of trainA or trainB, two random halves of the training images.

    Raises:
        UsageError: At the call, if batch or crop do not fit the images.
    """
    halves = dict(zip("ab", split_half(len(dataset), seed=config.seed), strict=True))
    return augmented_batches(dataset, config, indices=halves[half], start_step=start_step)


def check_search(space: SearchSpace, config: SearchConfig, dataset: SegmentationDataset) -> None:
    """Refuse settings that cannot work, before anything is written.

    Raises:
        UsageError: If batch or crop do not fit the images, or the crop is too small for the space.
    """
    coarsest = space.strides[max(edge.target_level for edge in space.trellis())]
    if min(config.crop_size) <= coarsest:
        # Batch norm over one value an image: gradients grow a hundredfold at every layer.
        remedy = f"use a crop of at least {2 * coarsest} on each side"
        scale = 2 * coarsest / min(dataset.largest_size)
        if config.image_scale * config.scale_range[1] < scale:
            height, width = dataset.largest_size
            remedy += (
                f", and, as images of {dataset.name} {dataset.split} are {height} x {width}, "
                f"--image-scale {math.ceil(100 * scale) / 100:g}"
            )
        raise UsageError(
            f"crop_size {config.crop_size} leaves maps of one pixel at stride {coarsest}, over "
            f"which batch norm cannot train; {remedy}."
        )
    half_batches(dataset, config, half="b")  # never the larger half


def _steps_a_read(device: torch.device) -> int:
    """Return the steps between two looks at the losses, for each of which a GPU is waited for."""
    return 1 if device.type == "cpu" else 50


def search(
    supernet: Supernet,
    *,
    strategy_name: str,
    run: Run,
    config: SearchConfig,
    train_dataset: SegmentationDataset,
    val_dataset: SegmentationDataset,
    device: torch.device,
    stop: StopRequest,
) -> SearchResult:
    """Search, and log at every epoch what a person needs to judge it.

    Resumes from the run's checkpoint where there is one; on the CPU the result is then bit for bit
    that of a search that was never stopped.

    Args:
        supernet: On `device`.
        strategy_name: A key of `STRATEGIES`.
        run: Where checkpoints, architecture.json and metrics.jsonl go.
        config: The settings.
        train_dataset: The train split; a random half trains the weights, the other alpha and beta.
        val_dataset: The val split, for the supernet's mIoU.
        device: Where the supernet is.
        stop: Asked after every step.

    Raises:
        DivergedError: If a loss is not finite, or the supernet's output holds NaN at a validation.
            It names the step, which on a GPU may lie some steps back; nothing was saved since.
    """
    strategy = STRATEGIES[strategy_name](
        supernet, config, ignore_index=train_dataset.ignore_index, device=device
    )
    identity = {
        "kind": "search",
        "strategy": strategy_name,
        "space": supernet.space.to_dict(),
        "num_classes": supernet.num_classes,
        "settings": config.identity(),
        "images": {"train": train_dataset.fingerprint(), "val": val_dataset.fingerprint()},
    }
    # trainB is the smaller half, where they differ.
    steps_per_epoch = len(train_dataset) // 2 // config.batch_size
    num_steps = config.num_epochs * steps_per_epoch
    arch_start = config.arch_start_epoch * steps_per_epoch

    losses, steps_a_read = PendingLosses(), _steps_a_read(device)
    decodes = DecodeHistory()

    val_indices = labelled_indices(val_dataset, config.val_images)
    step, loss_sum = 0, 0.0

    def restore(state: dict[str, Any]) -> None:
        nonlocal step, loss_sum
        _STATE(state, "")
        strategy.load_state_dict(state["strategy"])
        if "decodes" in state:
            decodes.load_state_dict(state["decodes"])
        restore_rng_state(state["rng"])
        step, loss_sum = state["step"], state["loss_sum"]

    run.load_checkpoint(identity=identity, map_location=device, restore=restore)

    def read_losses() -> list[float]:
        """Check the losses since the last call, and add up and return the weights'."""
        nonlocal loss_sum
        values = losses.read().get(_WEIGHTS, [])
        for value in values:
            loss_sum += value
        return values

    def save() -> None:
        read_losses()  # nothing is saved after a loss that is not finite
        run.save_checkpoint(
            {
                "strategy": strategy.state_dict(),
                "decodes": decodes.state_dict(),
                "rng": rng_state(),
                "step": step,
                "loss_sum": loss_sum,
            },
            identity=identity,
            step=step,
        )

    batches_a = half_batches(train_dataset, config, half="a", start_step=step)
    batches_b = half_batches(train_dataset, config, half="b", start_step=max(0, step - arch_start))
    supernet.train()
    architecture = supernet.decode()
    with Progress(
        num_steps,
        description="search",
        initial=step,
        starting="" if device.type == "cpu" else COMPILING,
    ) as progress:
        while step < num_steps and not stop.requested:
            share = step / num_steps
            result = strategy.step(
                next(batches_a), next(batches_b) if step >= arch_start else None, progress=share
            )
            for what, rate, loss in (
                (_WEIGHTS, strategy.weight_lr(share), result.weights),
                (_ARCHITECTURE, config.arch_lr, result.architecture),
            ):
                if loss is not None:
                    losses.add(loss, step=step, learning_rate=rate, what=what)
            step += 1
            is_epoch_end = step % steps_per_epoch == 0
            name = f"{1 + (step - 1) // steps_per_epoch}"
            if is_epoch_end or step % steps_a_read == 0:
                progress.update(loss=read_losses()[-1], epoch=name)
            else:
                progress.update(epoch=name)
            if not is_epoch_end:
                continue

            epoch = step // steps_per_epoch
            with progress.phase("validating") as on_image:
                score = validate(
                    supernet,
                    val_dataset,
                    device=device,
                    indices=val_indices,
                    image_scale=config.image_scale,
                    step=step,
                    on_image=on_image,
                )
            decoded = decodes.decode(supernet)
            architecture = decoded.architecture
            metrics = {
                "val_miou": score.mean_iou,
                "alpha_entropy": alpha_entropy(supernet.alpha),
                "beta_entropy": beta_entropy(
                    supernet.space, supernet.beta, beta_norm=config.beta_norm
                ),
                "skip_share": skip_share(architecture),
            }
            run.log(
                epoch=epoch,
                step=step,
                loss=loss_sum / steps_per_epoch,
                **metrics,
                val_num_averaged=score.num_averaged,
                architecture=architecture.to_dict(),
                confidence=decoded.confidence(),
            )
            architecture.save(run.folder / "architecture.json")
            loss_sum = 0.0
            save()
            progress.update(0, **metrics)
            progress.write(f"epoch {epoch}: path {' '.join(map(str, architecture.path))}")
            if step == num_steps:
                progress.write(str(decoded))
        if stop.requested and step % steps_per_epoch != 0:
            save()
    return SearchResult(
        architecture=supernet.decode(),
        epoch=step // steps_per_epoch,
        step=step,
        is_finished=step == num_steps,
        doubt=near_uniform(
            alpha_entropy(supernet.alpha),
            beta_entropy(supernet.space, supernet.beta, beta_norm=config.beta_norm),
        ),
    )
