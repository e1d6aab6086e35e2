"""`--auto-batch`: the largest batch that a GPU's memory holds, instead of the preset's."""

from dataclasses import replace

import torch

from autoseg.cli.console import announce
from autoseg.commands.auto_plan import facts_of, resident_gib
from autoseg.commands.retrain_plan import RetrainPlan
from autoseg.cost import USED_SHARE, largest_batch, memory_share
from autoseg.distributed import num_processes
from autoseg.errors import UsageError
from autoseg.runs import seed_everything
from autoseg.training import OutOfMemoryError
from autoseg.training.trial_step import training_step


def require_trying(plan: RetrainPlan, device: torch.device) -> None:
    """Refuse to look for a batch where nothing can be tried, or another setting says one.

    Raises:
        UsageError: With what to give instead.
    """
    if device.type != "cuda":
        raise UsageError(
            f"--auto-batch: the retraining runs on {device}, where a step that does not fit is not "
            "refused: the system swaps, or ends the process. Give --batch-size, or use --device "
            "cuda."
        )
    if num_processes() > 1:
        raise UsageError(
            "--auto-batch: it is tried in one process; find the batch of one GPU there, and give "
            f"{num_processes()} times as many images with --batch-size here."
        )
    if plan.training.compile:
        raise UsageError(
            "--auto-batch and --compile: the steps that it tries are not compiled, and take other "
            "memory; give --batch-size, or leave one of them out."
        )
    others = [name for name in ("batch_size", "overfit") if name in plan.request.given]
    if others:
        raise UsageError(
            f"--auto-batch and --{others[0].replace('_', '-')}: each says how large a batch is; "
            "give one of them."
        )


def with_largest_batch(plan: RetrainPlan, device: torch.device) -> RetrainPlan:
    """Return the plan with the largest batch that every one of its networks can be trained with.

    The learning rate stays as it is: which one a larger batch wants is for the user to try. A line
    says it, and what the linear rule would make of it.

    Raises:
        OutOfMemoryError: If a network does not fit with the smallest batch.

    Source: the linear rule is of Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv
    1706.02677, section 2.1.
    """
    config, dataset = plan.training, plan.train_dataset
    # Of each part that a batch passes the network in. Batch norm needs two images.
    largest = len(dataset) // config.accumulate
    smallest = min(2, largest)
    # Images that stay on the device come there after the first steps.
    kept = resident_gib(dataset, config.resident_gib) / facts_of(device).memory_gib
    with memory_share(device, max(0.0, USED_SHARE - kept)):
        for choice in plan.networks:
            step = training_step(
                lambda choice=choice: choice.build(
                    dataset.num_classes, normalisation=dataset.normalisation
                ),
                config,
                dataset=dataset,
                device=device,
            )
            seed_everything(config.seed)
            fitting = largest_batch(step, smallest=smallest, largest=largest)
            if fitting is None:
                height, width = config.crop_size
                raise OutOfMemoryError(
                    f"--auto-batch: {choice.label} does not fit into the memory of {device} with "
                    f"{smallest} image(s) of {height} x {width} pixels; use a smaller --crop-size."
                )
            largest = fitting
    found = largest * config.accumulate
    scaled = config.learning_rate * found / config.batch_size
    announce(
        f"retrain: batches of {found} (--auto-batch), the largest that fits; --learning-rate stays "
        f"{config.learning_rate:g}, which goes with batches of {config.batch_size}: in proportion "
        f"it would be {scaled:.3g}"
    )
    return replace(plan, request=plan.request.with_values(batch_size=found))
