"""From a user's wishes to a finished search."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch

from autoseg.architecture import (
    Architecture,
    CellSpace,
    Space,
    load_space,
    preset_names,
)
from autoseg.backends import choose_backend
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.commands.auto_plan import (
    GIVEN_SIZES,
    AutoPlan,
    facts_of,
    fingerprint_of,
    plan_search,
    resident_gib,
)
from autoseg.commands.dataset_notes import announce_baselines, announce_notes
from autoseg.commands.default_strategy import choose_strategy, strategy_settings
from autoseg.commands.latency import keep_table, predicted_latency, with_latency_table
from autoseg.commands.presets import (
    choose_arch_steps,
    choose_image_scale,
    choose_preset,
    fit_to_images,
)
from autoseg.commands.resuming import (
    after_restart,
    require_same_images,
    resumed_request,
    settings_of,
)
from autoseg.commands.search_figures import draw_search, draw_trellis_of
from autoseg.commands.sharing import require_shareable
from autoseg.commands.tensorboard import Board, mirrored, require_tensorboard
from autoseg.config import (
    RETRAIN_PRESETS,
    SEARCH_PRESETS,
    DataConfig,
    PrunerName,
    SearchConfig,
    read_values,
    values_of,
)
from autoseg.config.field_types import shown
from autoseg.data import SegmentationDataset, build_split, images_in, stay_on_device
from autoseg.distributed import is_first_process, num_processes
from autoseg.errors import UsageError, unknown_name
from autoseg.foreign_text import printable
from autoseg.requests import SearchRequest
from autoseg.runs import (
    Reckoning,
    StopRequest,
    open_run,
    seed_everything,
)
from autoseg.runs.folders import RUNS, folder_to_resume, new_folder, require_new_run
from autoseg.strategies import (
    ESTIMATORS,
    STRATEGIES,
    TRELLIS_ONLY,
    DartsSearch,
    PrunedEstimator,
    SearchResult,
    SearchTask,
    ShortEstimator,
    Strategy,
    search,
    trellis_only,
)
from autoseg.trained import ARCHITECTURE_NAME, SearchRun
from autoseg.trained.own_operations import own_operations, require_unchanged_operations
from autoseg.training import resolve_precision

TRIALS_NAME = "trials.journal"
"""What a discrete strategy tried, in the run folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPlan:
    """What a search will do, with nothing left open."""

    request: SearchRequest
    """Every setting that decides the result."""
    folder: Path
    """Run folder of the search."""
    space: Space
    """The space, at the preset's size."""
    train_dataset: SegmentationDataset
    """The train split."""
    val_dataset: SegmentationDataset
    """The val split."""
    auto: AutoPlan | None = None
    """What the preset auto chose, and why; None where a preset was named, or is resumed."""

    def reckoning(self) -> Reckoning | None:
        """Return what its steps were reckoned to take; None where a time ends it."""
        if self.auto is None or self.auto.seconds is None or "budget" in self.request.given:
            return None
        minutes = math.ceil(self.auto.seconds / 60)
        return Reckoning(
            self.auto.seconds, advice=f"--budget {minutes}m ends a search by the clock"
        )

    def record(self) -> dict[str, Any]:
        """Return what run.json keeps of it."""
        return {
            **settings_of(self.request),
            "search_space": self.space.to_dict(),
            **own_operations(self.space.operations),
            "images": images_in(self.train_dataset, self.val_dataset),
            **({} if self.auto is None else {"plan": self.auto.record()}),
        }


def run_search(request: SearchRequest, *, command: Sequence[str]) -> tuple[Path, SearchResult]:
    """Run a search, or go on with one, and draw what it found.

    Args:
        request: What the user asks for.
        command: The command line, for the record.

    Returns:
        The run folder, and how the search ended.
    """
    device = resolve_device(request.device)
    require_tensorboard(request.tensorboard)
    request = after_restart(request)
    if not request.resume and is_first_process():
        require_new_run(request.out or RUNS)  # before images are read
    if "cuda_graph" in request.given and request.cuda_graph and device.type != "cuda":
        raise UsageError(
            f"--cuda-graph: the search runs on {device}, which has no CUDA graphs; leave the "
            "option out, or use --device cuda."
        )
    plan = _resume(request) if request.resume else _plan(request, device)
    config, space, folder = plan.request.pick(SearchConfig), plan.space, plan.folder
    if isinstance(space, CellSpace) and (given := sorted(request.given & TRELLIS_ONLY)):
        # Though it be the default: in silence it would seem to have an effect.
        raise UsageError(trellis_only(given[0], getattr(request, given[0]), space))
    length = space.num_cells if isinstance(space, CellSpace) else space.num_layers
    supernet_size = f"L={length} B={space.num_nodes} F={space.filter_multiplier}"
    announce(f"search: space {space.name} ({supernet_size}), preset {plan.request.preset}")
    announce(
        f"search: dataset {plan.request.dataset} ({len(plan.train_dataset)} training images, "
        f"{plan.train_dataset.num_classes} classes), {device}, run folder {folder}"
    )
    announce_notes("search", plan.train_dataset, plan.val_dataset)
    # Refuse what cannot work before a folder is made.
    resolve_precision(config.precision, device)
    backend = choose_backend(config.backend, device.type, work="Supernet")
    strategy_type = STRATEGIES[plan.request.strategy]
    # The cells of a cell space are evaluated by plain operators.
    has_backend = "backend" in strategy_type.settings(config) and not isinstance(space, CellSpace)
    if has_backend:
        announce(f"search: {backend.announcement}")
    task = SearchTask(
        space=space,
        config=config,
        train_dataset=stay_on_device(plan.train_dataset, device, max_gib=config.resident_gib),
        val_dataset=plan.val_dataset,
        device=device,
        backend=backend.name,
        retrain_sizes=RETRAIN_PRESETS[plan.request.preset],
        journal=folder / TRIALS_NAME,
    )
    task = with_latency_table(task, plan.request, folder)
    require_shareable(plan.request)
    strategy_type.check(task)
    for dataset in (plan.train_dataset, plan.val_dataset):
        dataset.check_labels()
    announce_baselines("search", plan.train_dataset, plan.val_dataset, config)
    opened = open_run(
        folder,
        resume=request.resume,
        kind="search",
        command=command,
        config=plan.record(),
        seed=config.seed,
    )
    from autoseg.commands.runs_index import listed  # late: matplotlib, pandas

    with (
        listed(opened) as run,
        StopRequest() as stop,
        mirrored(run.folder, is_wanted=request.tensorboard) as board,
    ):
        run.follow(board.add)
        keep_table(task, folder)
        seed_everything(config.seed)
        with strategy_type(task) as strategy:
            if board.is_wanted:
                run.follow(lambda line: _show_trellis(strategy, line, board))
            if strategy.announcement:
                announce(f"search: {strategy.announcement}")
            result = search(
                strategy,
                task,
                strategy_name=plan.request.strategy,
                run=run,
                stop=stop,
                reckoning=plan.reckoning(),
            )
        if is_first_process():
            result.architecture.save(folder / ARCHITECTURE_NAME)
            draw_search(run, strategy)
        run.update(
            results={
                result.round_name: result.rounds,
                **(_path_of(result) | predicted_latency(task, result.architecture)),
                "doubts": list(result.report.doubts),
                **result.report.results,
                "cost": result.cost,
            },
            **({"backend": backend.name} if has_backend else {}),
            **({} if num_processes() == 1 else {"processes": num_processes()}),
        )
        run.finish("finished" if result.is_finished else "interrupted")
    return folder, result


def _show_trellis(strategy: Strategy, line: Mapping[str, Any], board: Board) -> None:
    """Draw the trellis as it is when a line is logged, where the strategy has one."""
    figure = draw_trellis_of(strategy)
    if figure is not None:
        board.add_figure("trellis", figure, step=line["step"])


def _path_of(result: SearchResult) -> dict[str, list[int]]:
    """Return the strides of the layers, if they were searched."""
    found = result.architecture
    return {"path": list(found.path)} if isinstance(found, Architecture) else {}


def _plan(request: SearchRequest, device: torch.device) -> SearchPlan:
    """Resolve everything that decides the result: preset, space, settings, dataset."""
    if request.strategy not in (*STRATEGIES, "auto"):
        raise unknown_name("strategy", request.strategy, ("auto", *STRATEGIES))
    asked, has_path = request, not isinstance(load_space(request.space), CellSpace)
    named = None if request.preset == "auto" else request.preset
    _require_read(choose_strategy(request, size=named, has_path=has_path))
    data = request.pick(DataConfig)
    train_dataset = build_split(data, "train")
    auto = _auto_plan(request, train_dataset, device)
    preset = (
        choose_preset(request.preset, dataset=request.dataset, device=device)
        if auto is None
        else auto.size
    )
    request = choose_strategy(request, size=preset, has_path=has_path)
    if asked.strategy == "auto":
        announce(f"search: strategy {request.strategy} (--strategy names another)")
    # A user's space may have no presets; it is then used as written.
    has_preset = preset in preset_names(request.space)
    space = load_space(request.space, preset=preset if has_preset else None)
    own = strategy_settings(request, size=preset)
    request = request.with_values(preset=preset).with_defaults(
        SEARCH_PRESETS[preset],
        image_scale=choose_image_scale(preset, train_dataset.largest_size),
        **({"arch_start_epoch": request.num_epochs // 2} if "num_epochs" in request.given else {}),
    )
    request = request.with_defaults(**own)
    if auto is not None:
        if not issubclass(STRATEGIES[request.strategy], DartsSearch):
            auto = auto.without_steps()
        for line in auto.lines(request.given):
            announce(f"search: plan: {line}")
        request = request.with_defaults(**auto.settings)
    announce(f"search: images at {request.image_scale:.0%} of their sides (--image-scale)")
    fitted = fit_to_images(
        request.pick(SearchConfig),
        num_images=len(train_dataset) // 2,  # trainB is never the larger half
        largest_size=train_dataset.largest_size,
        given=request.given,
        command="search",
    )
    request = request.with_defaults(fitted)
    has_epochs = issubclass(STRATEGIES[request.strategy], DartsSearch)
    if auto is None and has_epochs and not request.given & {"budget", "arch_steps", "num_epochs"}:
        arch_steps = choose_arch_steps(preset, request.pick(SearchConfig), len(train_dataset))
        request = request.with_values(arch_steps=arch_steps)
    return SearchPlan(
        request=request,
        folder=request.out or new_folder("search", space.name),
        space=space,
        train_dataset=train_dataset,
        val_dataset=build_split(data, "val"),
        auto=auto,
    )


def _auto_plan(
    request: SearchRequest, dataset: SegmentationDataset, device: torch.device
) -> AutoPlan | None:
    """Plan from the images; None where a preset is named or the scenes are drawn, for
    which the presets were made."""
    if request.preset != "auto" or request.dataset == "synthetic":
        return None
    budget_s = request.pick(SearchConfig).seconds if "budget" in request.given else None
    plan = plan_search(
        fingerprint_of(dataset),
        replace(facts_of(device), kept_gib=resident_gib(dataset, request.resident_gib)),
        budget_s=budget_s,
        given={name: getattr(request, name) for name in GIVEN_SIZES if name in request.given},
    )
    has_end = request.given & {"budget", "arch_steps", "num_epochs", "num_samples"}
    return plan.without_steps() if has_end else plan


def _require_read(request: SearchRequest) -> None:
    """Refuse settings that the strategy does not read, and two budgets.

    Raises:
        UsageError: With the strategies that read the setting.
    """
    read = STRATEGIES[request.strategy].settings(request)
    is_estimator_given = "estimator" in request.given & read
    for name in values_of(SearchConfig()):
        if name in request.given and name not in read:
            raise UsageError(
                f"--{name.replace('_', '-')}: {_searching(request)} does not read it; leave it "
                f"out{_who_reads(name, is_estimator_given=is_estimator_given)}."
            )
    # A supernet is trained for some steps before the samples are drawn.
    is_prepared = "estimator" in read and not issubclass(
        ESTIMATORS[request.estimator], ShortEstimator
    )
    ends = sorted(request.given & {"budget", "arch_steps", "num_samples"})
    if is_prepared and "budget" not in ends:
        return
    if len(ends) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in ends)
        raise UsageError(f"{options}: each says when the search ends; give one of them.")


def _searching(request: SearchRequest) -> str:
    estimator = f" --estimator {request.estimator}" if "estimator" in request.given else ""
    pruner = f" --pruner {shown(request.pruner)}" if "pruner" in request.given else ""
    return f"--strategy {request.strategy}{estimator}{pruner}"


def _who_reads(name: str, *, is_estimator_given: bool) -> str:
    """Say which strategies read a setting, to follow "leave it out"."""
    option, ways = "estimator", {each: SearchConfig(estimator=each) for each in ESTIMATORS}
    default, is_given = SearchConfig().estimator, is_estimator_given
    if name in PrunedEstimator.reads - ShortEstimator.reads:
        ways = {each: SearchConfig(pruner=each) for each in get_args(PrunerName)}
        option, ways, default, is_given = "pruner", {"": SearchConfig(), **ways}, "", False
    readers: dict[str, list[str]] = {}  # by the option that each needs beside its name
    for strategy in STRATEGIES:
        by = [way for way, config in ways.items() if name in STRATEGIES[strategy].settings(config)]
        is_always = len(by) == len(ways) or (default in by and not is_given)
        if by:
            needed = "" if is_always else f" --{option} {'|'.join(by)}"
            readers.setdefault(needed, []).append(strategy)
    choices = [
        f"--strategy {'|'.join(strategies)}{needed}" for needed, strategies in readers.items()
    ]
    return f", or use {' or '.join(choices)}"


def _resume(request: SearchRequest) -> SearchPlan:
    """Take everything from the record of the run that is to go on."""
    folder = folder_to_resume("search", request.out)
    started = SearchRun.open(folder)
    require_unchanged_operations(started.config, folder)
    saved = read_values(SearchRequest, started.config, where=f"{folder}/run.json")
    if saved.strategy not in STRATEGIES:
        raise UsageError(
            f"--resume: {folder} is a search by the strategy {printable(saved.strategy)!r}, which "
            "does not come with autoseg; give the --import that adds it again, if you trust that "
            "code."
        )
    if request.preset == "auto":
        request = request.with_values(preset=saved.preset)
    request = resumed_request(request, saved, folder=folder)
    data = request.pick(DataConfig)
    train_dataset, val_dataset = build_split(data, "train"), build_split(data, "val")
    require_same_images(folder, started.config, images_in(train_dataset, val_dataset))
    return SearchPlan(
        request=request,
        folder=folder,
        space=started.space,
        train_dataset=train_dataset,
        val_dataset=val_dataset,
    )
