"""The search loop: order of steps, rounds, checkpoints and messages, whatever the strategy."""

from dataclasses import dataclass, field
from typing import Any

from autoseg.architecture import AnyArchitecture
from autoseg.data import images_in
from autoseg.distributed import is_first_process, num_processes
from autoseg.runs import (
    COMPILING,
    PhaseStoppedError,
    Progress,
    Reckoning,
    Run,
    StopRequest,
    own_randomness,
    schema,
)
from autoseg.strategies.statistics import collapse
from autoseg.strategies.strategy import Report, SearchTask, Strategy
from autoseg.training import (
    ADVICE,
    LOOP_FIELDS,
    DivergedError,
    LoopState,
    PendingLosses,
    explaining_memory,
    require_finite_weights,
    steps_between_reads,
)
from autoseg.training.budget import Budget

_STATE = schema.fields(
    required={
        "strategy": schema.mapping,
        **LOOP_FIELDS,
        "spent_s": schema.number(0),
    },
    allowed={
        "is_ended": schema.flag,
        "is_round_end_due": schema.flag,
        "processor_s": schema.number(0),
        "rounds_s": schema.number(0),
    },
)
"""What a checkpoint of a search holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """How a search ended."""

    architecture: AnyArchitecture
    """What it has found."""
    report: Report
    """How far that can be trusted."""
    round_name: str
    """What a round is called: "epoch", "sample"."""
    rounds: int
    """Rounds done."""
    step: int
    """Steps done."""
    is_finished: bool
    """False if it was asked to stop; `--resume` goes on."""
    cost: dict[str, float] = field(compare=False)
    """Steps, passes of a network over a batch ("evaluations"), seconds, processor seconds of all
    threads and processes ("processor_seconds"), and the share of the seconds that ends of rounds
    took: validation, for DARTS ("round_ends_share")."""


def search(
    strategy: Strategy,
    task: SearchTask,
    *,
    strategy_name: str,
    run: Run,
    stop: StopRequest,
    reckoning: Reckoning | None = None,
) -> SearchResult:
    """Search, and log after every round what a person needs to judge it.

    Resumes from the run's checkpoint where there is one; on the CPU the result is then bit for bit
    that of a search that was never stopped, unless its budget is a time.

    Args:
        strategy: Built for the task; nothing is trained yet.
        task: What is searched, with the settings.
        strategy_name: Its key in `STRATEGIES`, which a checkpoint is bound to.
        run: Where checkpoints, architecture.json and metrics.jsonl go.
        stop: Asked after every step.
        reckoning: What its steps were reckoned to take; None where a time ends it.

    Raises:
        DivergedError: If a loss that is fatal is not finite, or a network's output holds NaN when
            it is scored. It names the step, which on a GPU may lie some steps back; nothing was
            saved since. Also if all that there was to score failed, at the end.
    """
    identity = {
        "kind": "search",
        "strategy": strategy_name,
        "space": task.space.to_dict(),
        "num_classes": task.train_dataset.num_classes,
        "settings": _deciding(task, strategy),
        "images": images_in(task.train_dataset, task.val_dataset),
        "processes": num_processes(),
    }
    losses, read_every = PendingLosses(), steps_between_reads(task.device)
    state, spent_s, processor_s, rounds_s = LoopState(), 0.0, 0.0, 0.0
    main_loss, is_ended, is_due = "", False, False

    def restore(saved: dict[str, Any]) -> None:
        nonlocal spent_s, processor_s, rounds_s, is_ended, is_due
        saved = _upgraded(saved)
        _STATE(saved, "")
        strategy.load_state_dict(saved["strategy"])
        state.load_state_dict(saved)
        spent_s, is_ended = saved["spent_s"], saved.get("is_ended", False)
        is_due = saved.get("is_round_end_due", False)
        rounds_s, processor_s = saved.get("rounds_s", 0.0), saved.get("processor_s", 0.0)

    own_randomness(task.config.seed)
    saved = run.load_checkpoint(
        identity=identity,
        map_location=task.device,
        restore=restore,
        defaults={"processes": 1},  # not recorded while there was no other number
    )
    budget = Budget(
        num_steps=strategy.num_steps,
        seconds=task.config.seconds,
        spent_s=spent_s,
        processor_s=processor_s,
    )

    def read_losses() -> list[float]:
        """Check the losses since the last call, and add up and return those that are shown."""
        with task.loading.waiting_for_device():
            values = losses.read().get(main_loss, [])
        for value in values:
            state.add(value)
        return values

    def require_finite() -> None:
        read_losses()
        require_finite_weights(strategy.vital_parameters(), step=state.step)

    def save() -> None:
        require_finite()  # nothing is saved after a loss or a gradient that is not
        run.save_checkpoint(
            {
                "strategy": strategy.state_dict(),
                **state.state_dict(),
                "spent_s": budget.spent_s,
                "processor_s": budget.processor_s,
                "is_ended": is_ended,
                **({"is_round_end_due": True} if is_due else {}),
                "rounds_s": rounds_s,
            },
            identity=identity,
            step=state.step,
        )

    if saved is None and strategy.has_shared_trials:
        save()
    num_done, total, unit = budget.units(state.step)
    is_over, is_saved = is_ended or budget.share(state.step) == 1, True
    with (
        explaining_memory(task.config),
        Progress(
            total,
            description="search",
            unit=unit,
            initial=num_done,
            starting="" if task.device.type == "cpu" else COMPILING,
            reckoning=reckoning,
        ) as progress,
    ):
        may_leave = strategy.can_leave_round_end
        phase = stop.leaving(progress.phase) if may_leave else progress.phase
        while (is_due or not is_over) and not stop.requested:
            share = budget.share(state.step)
            if not is_due:
                rounds = strategy.rounds_done(share)
                for number, loss in enumerate(strategy.step(state.step, share)):
                    losses.add(
                        loss.value,
                        step=state.step,
                        learning_rate=loss.learning_rate,
                        what=loss.what,
                        is_fatal=loss.is_fatal,
                    )
                    main_loss = main_loss if number else loss.what
                state.step, is_saved = state.step + 1, False
                share = budget.share(state.step)
                is_due = strategy.rounds_done(share) > rounds
                shown: dict[str, float | int | str] = {strategy.round_name: f"{rounds + 1}"}
                if (is_due or state.step % read_every == 0) and (values := read_losses()):
                    shown = {"loss": values[-1], **shown}
                if unit != "step":
                    shown["step"] = state.step
                progress.update(budget.units(state.step)[0] - progress.num_done, **shown)
                is_over = share == 1
            if is_due:
                require_finite()
                before_s = budget.spent_s
                try:
                    end = strategy.end_round(state.step, share, phase=phase)
                except PhaseStoppedError:
                    is_saved = False
                    break  # the end of the round stays due
                rounds_s += budget.spent_s - before_s
                mean = state.take_mean()
                shown_loss = {} if mean is None else {"loss": mean}
                run.log(step=state.step, **shown_loss, **end.line)
                is_ended, is_due = end.is_last, False
                architecture = strategy.decode()
                if is_first_process():
                    architecture.save(run.folder / "architecture.json")
                save()
                progress.update(0, **end.shown)
                progress.write(end.message)
                num_workers = task.config.num_workers
                if hint := task.loading.hint(task.train_dataset, num_workers=num_workers):
                    progress.write(f"search: {hint}")
                is_saved, is_over = True, is_ended or budget.share(state.step) == 1
        if not is_saved:
            save()
    architecture, report = strategy.decode(), strategy.report()
    if report.failure is None and (collapsed := collapse(architecture)) is not None:
        report = report.with_doubt(collapsed)
    is_finished = is_over and not is_due
    if is_finished and report.failure is not None:
        raise DivergedError(report.failure, remedy=ADVICE)
    return SearchResult(
        architecture=architecture,
        report=report,
        round_name=strategy.round_name,
        rounds=strategy.rounds_done(budget.share(state.step)),
        step=state.step,
        is_finished=is_finished,
        cost={
            "steps": state.step,
            "evaluations": strategy.num_evaluations,
            "seconds": round(budget.spent_s, 1),
            "processor_seconds": round(budget.processor_s, 1),
            "round_ends_share": round(rounds_s / budget.spent_s, 3) if rounds_s else 0.0,
        },
    )


def _deciding(task: SearchTask, strategy: Strategy) -> dict[str, Any]:
    """Return the settings that decide this search, by name; budget and pruner if there is one."""
    settings, read = task.config.identity(), strategy.settings(task.config)
    absent = {name for name in ("budget", "arch_steps", "pruner") if not settings[name]}
    return {name: settings[name] for name in settings if name in read - absent}


def _upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """Bring a checkpoint of DARTS, from when the loop knew nothing else, into today's form.

    The loss that its epoch had so far is left out of the epoch's mean.
    """
    if "loss_count" in state:
        return state
    earlier = {"step": state["step"], "decodes": state.get("decodes", {"earlier": []})}
    strategy = {**state["strategy"], **earlier}
    return {**state, "strategy": strategy, "loss_sum": 0.0, "loss_count": 0, "spent_s": 0.0}
