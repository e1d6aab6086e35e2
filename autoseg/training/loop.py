"""Train a network from scratch: the one recipe."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

import torch
from torch import nn

from autoseg.config import TrainingConfig
from autoseg.contract import FollowsProgress
from autoseg.data import SegmentationDataset, images_in, labelled_indices, stay_on_device
from autoseg.distributed import num_processes, require_same, sum_gradients_
from autoseg.runs import (
    COMPILING,
    PhaseStoppedError,
    Progress,
    Reckoning,
    Run,
    StopRequest,
    load_metrics,
    own_randomness,
    schema,
)
from autoseg.training.accumulation import add_gradients
from autoseg.training.averaging import averaged_network
from autoseg.training.batch_norm import average_statistics_, prepare_batch_norm_
from autoseg.training.batches import retraining_batches
from autoseg.training.budget import Budget
from autoseg.training.chosen_loss import PLAIN, build_loss, choose_loss, weights_of_classes
from autoseg.training.compiled import ForwardPass, compiled
from autoseg.training.divergence import (
    PendingLosses,
    require_finite_weights,
    steps_between_reads,
)
from autoseg.training.loop_state import LOOP_FIELDS, LoopState
from autoseg.training.memory import explaining_memory
from autoseg.training.memory_format import lay_out_
from autoseg.training.optimisers import build_optimizer, load_optimizer_
from autoseg.training.precision import resolve_precision, tensor_float
from autoseg.training.schedules import poly, warm_up
from autoseg.training.validation import pixels_together, validate
from autoseg.training.validation_clock import ValidationClock
from autoseg.training.waiting import LoadingWatch
from autoseg.upload import to_device

_LOSS = "training"

UNDEFINED = -1.0
"""Best mIoU as a checkpoint states it while there was none; below all that there are."""

_STATE = schema.fields(
    required={
        "network": schema.mapping,
        "optimizer": schema.mapping,
        **LOOP_FIELDS,
        "best_step": schema.whole(),
        "best_val_miou": schema.number(UNDEFINED, 1),
    },
    allowed={
        "average": schema.mapping,
        "is_validation_due": schema.flag,
        "spent_s": schema.number(0),
        "processor_s": schema.number(0),
    },
)
"""What a checkpoint of a training holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """How a training ended."""

    step: int
    """Steps done."""
    best_step: int
    """Step of the best validation; 0 if there was none."""
    best_val_miou: float
    """mIoU of the best validation, in [0, 1]; that of `weights-best.safetensors`. NaN if no pixel
    of the validation's images is labelled: the best weights are then the last ones."""
    is_finished: bool
    """False if it was asked to stop; `--resume` goes on."""
    doubt: str | None = None
    """Why that score is no achievement, in words; None if it is one."""
    cost: dict[str, float] = field(default_factory=dict, compare=False)
    """Steps, seconds, and processor seconds of all threads and processes ("processor_seconds"),
    those before a stop included."""

    def best_as(self, score: str) -> str:
        """Say in words how good the best weights are, and of which step; `score` is its name."""
        if math.isnan(self.best_val_miou):
            return (
                f"{score} undefined, as no pixel of the images that were to be scored is labelled; "
                f"the best weights are the last ones, of step {self.best_step}"
            )
        return f"{score} {self.best_val_miou:.4f} at step {self.best_step}"


def train(
    network: nn.Module,
    *,
    run: Run,
    config: TrainingConfig,
    train_dataset: SegmentationDataset,
    val_dataset: SegmentationDataset,
    identity: Mapping[str, Any],
    device: torch.device,
    stop: StopRequest,
    description: str,
    colour_miou: float | None = None,
    on_validation: Callable[[nn.Module, int], None] | None = None,
    reckoning: Reckoning | None = None,
) -> TrainingResult:
    """Train, validate, and keep the best and the last weights in the run folder.

    Resumes from the run's checkpoint where there is one; on the CPU the result is then bit for bit
    that of a training that was never stopped, unless its budget is a time.

    Where several processes do one job, each sees its share of every batch, and all hold the same
    weights after every step.

    Args:
        network: On `device`, with the weights to start from.
        run: Where checkpoints, weights and metrics.jsonl go.
        config: The recipe; the numbers of its loss go into the run's record under "loss".
        train_dataset: The train split.
        val_dataset: The val split; chooses the best weights.
        identity: What a checkpoint must agree on to be resumed, besides settings, loss and images.
        device: Where the network is.
        stop: Asked after every step.
        description: Shown beside the progress.
        colour_miou: Mean IoU on val that each pixel's colour alone has; None if it is unknown.
        on_validation: Called after each validation, in every process, with the network that was
            scored and the steps done.
        reckoning: What its steps were reckoned to take; None where that is not known, or a time
            ends it.

    Raises:
        DivergedError: If the loss is not finite, or the network's output holds NaN at a validation.
            It names the step, which on a GPU may lie some steps back; nothing was saved since.
        CompilationError: If the network is to be compiled, and cannot be.
        OutOfMemoryError: If a step does not fit into memory; names the settings to lower.
        UsageError: If class weights do not fit the dataset, or a checkpoint had another loss.
    """
    precision = resolve_precision(config.precision, device)
    chosen_loss = choose_loss(config, train_dataset)
    identity = {
        **identity,
        "settings": config.identity(),
        "images": images_in(train_dataset, val_dataset),
        "loss": asdict(chosen_loss),
        "processes": num_processes(),
    }
    loss_function = build_loss(chosen_loss, device=device)
    weights = weights_of_classes(chosen_loss, device=device)
    lay_out_(network, config.memory_format)
    network.train()
    prepare_batch_norm_(network, config.batch_norm)
    optimizer = build_optimizer(network, config)
    average = averaged_network(network, config.ema_decay) if config.ema_decay > 0 else None
    # What is validated and saved.
    result = network if average is None else average.module
    val_indices = labelled_indices(val_dataset, config.val_images)
    state, best, is_due = LoopState(), (0, UNDEFINED), False
    spent_s, processor_s = 0.0, 0.0

    def restore(saved: dict[str, Any]) -> None:
        nonlocal best, is_due, spent_s, processor_s
        _STATE(saved, "")
        network.load_state_dict(saved["network"])
        load_optimizer_(optimizer, saved["optimizer"])
        if average is not None:
            average.load_state_dict(saved["average"])
        state.load_state_dict(saved)
        best = (saved["best_step"], saved["best_val_miou"])
        is_due = saved.get("is_validation_due", False)
        spent_s, processor_s = saved.get("spent_s", 0.0), saved.get("processor_s", 0.0)

    own_randomness(config.seed)
    run.load_checkpoint(
        identity=identity,
        map_location=device,
        restore=restore,
        # Not recorded once: the loss where it was this one, and the one process that there was.
        defaults={"loss": asdict(PLAIN), "processes": 1},
    )
    run.update(loss=asdict(chosen_loss))
    budget = Budget(
        num_steps=config.num_steps,
        seconds=config.seconds,
        spent_s=spent_s,
        processor_s=processor_s,
    )
    val_clock = ValidationClock(config.val_share)

    loading = LoadingWatch()
    losses, read_every = PendingLosses(), steps_between_reads(device)

    def read_losses() -> dict[str, float]:
        """Check and add up the losses since the last call; return what is shown of them."""
        with loading.waiting_for_device():
            values = losses.read().get(_LOSS, [])
        for value in values:
            state.add(value)
        return {"loss": values[-1]} if values else {}

    def has_time_to_validate() -> bool:
        return config.seconds is None or val_clock.has_time(len(val_indices))

    def save() -> None:
        run.save_checkpoint(
            {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                **({} if average is None else {"average": average.state_dict()}),
                **state.state_dict(),
                "best_step": best[0],
                "best_val_miou": best[1],
                "spent_s": budget.spent_s,
                "processor_s": budget.processor_s,
                **({"is_validation_due": True} if is_due else {}),
            },
            identity=identity,
            step=state.step,
        )

    near = stay_on_device(train_dataset, device, max_gib=config.resident_gib)
    batches = loading.watched(retraining_batches(near, config, start_step=state.step))
    num_done, total, unit = budget.units(state.step)
    # A budget that has no time for one step makes one.
    is_over = state.step > 0 and budget.share(state.step) == 1
    # Time may have run out between the last step and the stop after it.
    is_due, is_saved, is_wanted = is_due or (is_over and state.loss_count > 0), True, False
    with (
        explaining_memory(config),
        Progress(
            total,
            description=description,
            unit=unit,
            initial=num_done,
            starting=COMPILING if config.compile or device.type != "cpu" else "",
            reckoning=reckoning,
        ) as progress,
        _forward_pass(network, config, device=device) as forward,
    ):
        is_compiling = config.compile
        while (is_due or not is_over) and not stop.requested:
            if not is_due:
                images, target = next(batches)
                images, target = to_device(images, device), to_device(target, device)
                share = float(budget.share(state.step))
                rate = poly(share, initial=config.learning_rate, power=config.poly_power)
                rate *= warm_up(state.step, config.warmup_steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                if isinstance(network, FollowsProgress):
                    network.set_training_progress(
                        torch.full((), share, device=device) if config.compile else share
                    )

                began_s = monotonic()
                with tensor_float(precision):
                    optimizer.zero_grad()
                    loss = add_gradients(
                        forward,
                        images,
                        target,
                        num_parts=config.accumulate,
                        loss=loss_function,
                        class_weights=weights,
                        ignore_index=train_dataset.ignore_index,
                        precision=precision,
                    )
                    if is_compiling:
                        progress.write(f"{description}: compiled in {monotonic() - began_s:.0f} s")
                        is_compiling = False
                    losses.add(loss, step=state.step, learning_rate=rate, what=_LOSS)
                    is_read = (state.step + 1) % read_every == 0
                    shown = read_losses() if is_read else {}
                sum_gradients_(network.parameters())
                if config.gradient_clip > 0:
                    nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
                optimizer.step()
                average_statistics_(network, config.batch_norm)
                if average is not None:
                    average.update_parameters(network)
                state.step, is_saved = state.step + 1, False
                if unit != "step":
                    shown["step"] = state.step
                progress.update(budget.units(state.step)[0] - progress.num_done, **shown)
                is_over = budget.share(state.step) == 1
                is_wanted = is_wanted or state.step % config.validate_every == 0
                is_due = is_over or (is_wanted and has_time_to_validate())

            if is_due:
                read_losses()
                require_same("weights", network.state_dict().values(), step=state.step)
                require_finite_weights(network.named_parameters(), step=state.step)
                try:
                    with (
                        stop.leaving(progress.phase)("validating") as on_image,
                        val_clock.validating(len(val_indices)),
                    ):
                        score = validate(
                            result,
                            val_dataset,
                            device=device,
                            indices=val_indices,
                            image_scale=config.image_scale,
                            step=state.step,
                            batch_pixels=pixels_together(
                                config, num_classes=val_dataset.num_classes
                            ),
                            colour_miou=colour_miou,
                            on_image=on_image,
                        )
                except PhaseStoppedError:
                    break  # the validation stays due
                miou = score.mean_iou
                run.log(
                    step=state.step,
                    loss=state.take_mean(),
                    learning_rate=optimizer.param_groups[0]["lr"],
                    val_miou=miou,
                    val_pixel_accuracy=score.pixel_accuracy,
                    val_num_averaged=score.num_averaged,
                    val_doubt=score.doubt,
                )
                metadata = {"step": str(state.step), "val_miou": f"{miou:.6f}"}
                if miou > best[1] or math.isnan(miou):
                    best = (state.step, UNDEFINED if math.isnan(miou) else miou)
                    run.save_weights("best", result.state_dict(), metadata=metadata)
                run.save_weights("last", result.state_dict(), metadata=metadata)
                is_due, is_wanted, is_saved = False, False, True
                save()
                if on_validation is not None:
                    on_validation(result, state.step)
                progress.update(0, val_miou=miou)
                if hint := loading.hint(near, num_workers=config.num_workers):
                    progress.write(f"{description}: {hint}")
        if not is_saved:
            read_losses()
            require_finite_weights(network.named_parameters(), step=state.step)
            save()
    return TrainingResult(
        step=state.step,
        best_step=best[0],
        best_val_miou=math.nan if best[1] == UNDEFINED else best[1],
        is_finished=is_over and not is_due,
        doubt=_doubt_at(run, best[0]),
        cost={
            "steps": state.step,
            "seconds": round(budget.spent_s, 1),
            "processor_seconds": round(budget.processor_s, 1),
        },
    )


def _forward_pass(
    network: nn.Module, config: TrainingConfig, *, device: torch.device
) -> AbstractContextManager[ForwardPass]:
    if not config.compile:
        return nullcontext(network)
    return compiled(network, device=device, num_parts=config.accumulate)


def _doubt_at(run: Run, step: int) -> str | None:
    """Return what the log says of the validation after a step; it outlives a resumed training."""
    lines = [line for line in load_metrics(run.folder) if line.get("step") == step]
    return lines[-1].get("val_doubt") if lines else None
