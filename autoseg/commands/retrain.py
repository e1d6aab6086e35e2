"""Retrained networks, each in a run folder of its own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.commands.auto_batch import require_trying, with_largest_batch
from autoseg.commands.dataset_notes import announce_baselines, announce_notes
from autoseg.commands.resuming import after_restart
from autoseg.commands.retrain_card import write_card
from autoseg.commands.retrain_estimate import Estimate, estimate_trainings
from autoseg.commands.retrain_figures import (
    draw_predictions,
    draw_retraining,
    save_predictions,
)
from autoseg.commands.retrain_plan import (
    PlannedTraining,
    RetrainPlan,
    plan_resumed,
    plan_retraining,
)
from autoseg.commands.retrain_seeds import SeedScores, scores_over_seeds
from autoseg.commands.step_counts import StepCounts
from autoseg.commands.tensorboard import mirrored, require_tensorboard
from autoseg.distributed import is_first_process, num_processes
from autoseg.errors import UsageError
from autoseg.evaluation import Baselines
from autoseg.requests import RetrainRequest
from autoseg.runs import StopRequest, open_run, seed_everything
from autoseg.runs.folders import RUNS, require_new_run
from autoseg.runs.record import RECORD_NAME
from autoseg.trained import ARCHITECTURE_NAME, StartingWeights, starting_weights
from autoseg.training import (
    DivergedError,
    TrainingResult,
    require_rule_fits,
    require_shareable_loss,
    resolve_precision,
    retraining_batches,
    train,
)
from autoseg.training.compiled import require_compiling
from autoseg.training.overfit import without_dropout_


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainResult:
    """How the retraining of several networks ended."""

    finished: dict[str, TrainingResult]
    """Results by the name of the run folder."""
    failed: dict[str, str]
    """Error messages by the name of the run folder."""
    over_seeds: dict[str, SeedScores]
    """For each network that was trained with several seeds, how its scores vary; by label."""
    is_finished: bool
    """False if it was asked to stop; `--resume` goes on."""
    note: str | None
    """What a reader of the scores must know: that they are a sanity check, and no result."""


def run_retrain(request: RetrainRequest, *, command: Sequence[str]) -> tuple[Path, RetrainResult]:
    """Train networks one after the other with one recipe.

    A network whose loss diverges is reported at the end and does not stop the others.

    Args:
        request: What the user asks for.
        command: The command line, for the record.

    Returns:
        The folder of all, and how it ended.
    """
    device = resolve_device(request.device)
    require_tensorboard(request.tensorboard)
    request = after_restart(request)
    if not request.resume and is_first_process():
        require_new_run(request.out or RUNS)  # before images are read
    plan = plan_resumed(request) if request.resume else plan_retraining(request, device)
    if request.auto_batch and not request.resume:
        require_trying(plan, device)
        plan = with_largest_batch(plan, device)
    trainings = plan.trainings
    if plan.note is not None:
        announce(f"retrain: {plan.note}")
    announce(
        f"retrain: {', '.join(planned.title for planned in trainings)}; "
        f"preset {plan.request.preset}, dataset {plan.request.dataset} "
        f"({len(plan.train_dataset)} training images, {plan.train_dataset.num_classes} classes), "
        f"{device}, in {plan.folder}"
    )
    announce_notes("retrain", plan.train_dataset, plan.val_dataset)
    # Refuse what cannot work before a folder is made.
    resolve_precision(plan.training.precision, device)
    retraining_batches(plan.train_dataset, plan.training)
    require_rule_fits(plan.training.class_weights, plan.train_dataset)
    require_shareable_loss(plan.training.loss)
    if plan.training.compile:
        require_compiling(device)
    for dataset in (plan.train_dataset, plan.val_dataset):
        dataset.check_labels()
    starting = starting_weights(
        plan.request.weights,
        plan.networks,
        num_classes=plan.train_dataset.num_classes,
        normalisation=plan.train_dataset.normalisation,
        resumed=plan.folder if request.resume else None,
    )
    for line in starting.lines if starting is not None else ():
        announce(f"retrain: {line}")
    if plan.training.batch_norm == "frozen" and starting is None:
        raise UsageError(
            "--batch-norm frozen: random weights have no statistics to keep; name a file with "
            "--weights, or leave the option out."
        )
    if plan.training.batch_norm == "per-device" and num_processes() == 1:
        announce(
            "retrain: --batch-norm per-device: one process has all images of a batch, so that this "
            "is the same as synced; several are begun by torchrun"
        )
    if plan.counts is not None:
        plan = replace(plan, estimate=_estimate(plan, plan.counts))
    opened = open_run(
        plan.folder,
        resume=request.resume,
        kind="retrain-set",
        command=command,
        config=plan.record(None if starting is None else starting.record),
        seed=plan.training.seed,
    )
    finished: dict[str, TrainingResult] = {}
    failed: dict[str, str] = {}
    baselines = announce_baselines("retrain", plan.train_dataset, plan.val_dataset, plan.training)
    from autoseg.commands.runs_index import listed  # late: matplotlib, pandas

    with listed(opened) as whole, StopRequest() as stop:
        whole.update(baselines=asdict(baselines))
        for number, planned in enumerate(trainings, start=1):
            if stop.requested:
                break
            try:
                result = _train_one(
                    planned,
                    plan,
                    command=command,
                    starting=starting,
                    baselines=baselines,
                    device=device,
                    stop=stop,
                    description=f"[{number}/{len(trainings)}] {planned.title}",
                )
            except DivergedError as error:
                failed[planned.name] = str(error)
                announce(f"{planned.title}: {error}")
                continue
            if result.is_finished:
                finished[planned.name] = result
        is_finished = len(finished) + len(failed) == len(trainings)
        folders: dict[str, list[Path]] = {}
        for planned in trainings:
            folders.setdefault(planned.choice.label, []).append(plan.folder / planned.name)
        if is_first_process():
            draw_retraining(whole, folders, note=plan.note)
        whole.update(results={"failed": failed, "finished": sorted(finished)})
        whole.finish("interrupted" if not is_finished else "failed" if failed else "finished")
    return plan.folder, RetrainResult(
        finished=finished,
        failed=failed,
        over_seeds=scores_over_seeds(trainings, finished),
        is_finished=is_finished,
        note=plan.note,
    )


def _estimate(plan: RetrainPlan, counts: StepCounts) -> Estimate:
    """Say what the trainings of a plan will take."""
    return estimate_trainings(
        plan.networks,
        plan.training,
        counts,
        num_seeds=max(1, len(plan.request.seeds)),
        is_published_size=plan.request.preset == "paper",
    )


def _train_one(
    planned: PlannedTraining,
    plan: RetrainPlan,
    *,
    command: Sequence[str],
    starting: StartingWeights | None,
    baselines: Baselines,
    device: torch.device,
    stop: StopRequest,
    description: str,
) -> TrainingResult:
    """Train one network in its own run folder, from its checkpoint where there is one."""
    choice, folder = planned.choice, plan.folder / planned.name
    training = replace(plan.training, seed=planned.seed)
    opened = open_run(
        folder,
        resume=(folder / RECORD_NAME).exists(),
        kind="retrain",
        command=command,
        config=plan.record_of(planned, None if starting is None else starting.record),
        seed=training.seed,
    )
    from autoseg.commands.runs_index import listed  # late: matplotlib, pandas

    with listed(opened) as run, mirrored(run.folder, is_wanted=plan.request.tensorboard) as board:
        run.follow(board.add)
        if num_processes() > 1:
            run.update(processes=num_processes())
        if choice.architecture is not None and is_first_process():
            choice.architecture.save(folder / ARCHITECTURE_NAME)
        seed_everything(training.seed)
        network = choice.build(
            plan.train_dataset.num_classes, normalisation=plan.train_dataset.normalisation
        )
        if starting is not None:
            starting.fitted.fill_(network)
        if training.overfit is not None:
            without_dropout_(network)
        network.to(device)

        def show_predictions(scored: nn.Module, step: int) -> None:
            drawn = draw_predictions(
                scored, plan.val_dataset, device=device, image_scale=training.image_scale
            )
            if drawn is not None:
                save_predictions(run, drawn)
                board.add_picture("predictions", drawn, step=step)

        result = train(
            network,
            run=run,
            config=training,
            train_dataset=plan.train_dataset,
            val_dataset=plan.val_dataset,
            identity={
                "kind": "retrain",
                "network": choice.to_dict(),
                "num_classes": plan.train_dataset.num_classes,
            },
            device=device,
            stop=stop,
            description=description,
            colour_miou=baselines.colour_miou,
            on_validation=show_predictions if plan.request.tensorboard else None,
            reckoning=plan.reckoning(choice.label),
        )
        if is_first_process():
            draw_retraining(run, {planned.title: [folder]}, note=plan.note)
        note = {} if plan.note is None else {"note": plan.note}
        run.update(results={**asdict(result), **note}, baselines=asdict(baselines))
        if result.is_finished:
            write_card(run)
        run.finish("finished" if result.is_finished else "interrupted")
    return result
