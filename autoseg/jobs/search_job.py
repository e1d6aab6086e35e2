"""From a user's wishes to a finished search."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autoseg.architecture import Architecture, SearchSpace
from autoseg.cli import resolve_device
from autoseg.errors import UsageError, unknown_name
from autoseg.jobs.console import announce
from autoseg.jobs.data import DataChoice
from autoseg.jobs.presets import Preset, choose_image_scale, choose_preset
from autoseg.jobs.resuming import (
    fields_of,
    folder_to_resume,
    new_folder,
    require_same_settings,
)
from autoseg.reporting import draw_cell, draw_history, draw_trellis, save_figure
from autoseg.runs import Run, StopRequest, load_metrics, load_record, seed_everything
from autoseg.strategies import (
    SEARCH_PRESETS,
    STRATEGIES,
    SearchConfig,
    SearchResult,
    check_search,
    search,
)
from autoseg.supernet import Supernet, resolve_backend
from autoseg.training import resolve_precision


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRequest(SearchConfig, DataChoice):
    """What a user can say to `python -m autoseg.search`."""

    space: str = "autodeeplab"
    """Search space: the name of a shipped one, or the path of a TOML file."""
    strategy: str = "darts"
    """How alpha and beta are moved: darts (first order)."""
    preset: Preset = "auto"
    """Sizes and settings to start from: paper (as published), tiny (minutes on two CPU cores), auto
    (paper for a real dataset on a GPU, otherwise tiny). The defaults shown here are the paper's."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out: Path | None = None
    """Run folder; none: a new one under runs/."""
    resume: bool = False
    """Go on with the run in --out, or with the newest unfinished search under runs/."""


def run_search(given: Mapping[str, Any], *, command: Sequence[str]) -> tuple[Path, SearchResult]:
    """Run a search, or go on with one, and draw what it found.

    Args:
        given: Fields of `SearchRequest` that the user gave.
        command: The command line, for the record.

    Returns:
        The run folder, and how the search ended.
    """
    request = SearchRequest(**given)
    device = resolve_device(request.device)
    if given.get("cuda_graph") and device.type != "cuda":
        raise UsageError(
            f"--cuda-graph: the search runs on {device}, which has no CUDA graphs; leave the "
            "option out, or use --device cuda."
        )
    if request.resume:
        folder = folder_to_resume("search", request.out)
        settings = load_record(folder)["config"]
        require_same_settings(given, settings, folder=folder)
    else:
        settings = _resolve(request, given, device)
        folder = request.out or new_folder("search", settings["search_space"]["name"])
    space = SearchSpace.from_dict(settings["search_space"])
    config = SearchConfig(**fields_of(SearchConfig, {**settings, **given}))
    data = DataChoice(**fields_of(DataChoice, {**settings, **given}))
    train_dataset, val_dataset = data.build("train"), data.build("val")
    supernet_size = f"L={space.num_layers} B={space.num_nodes} F={space.filter_multiplier}"
    announce(f"search: space {space.name} ({supernet_size}), preset {settings['preset']}")
    announce(
        f"search: dataset {data.dataset} ({len(train_dataset)} training images, "
        f"{train_dataset.num_classes} classes), {device}, run folder {folder}"
    )
    resolve_precision(config.precision, device)  # refuse what cannot work before a folder is made
    backend = resolve_backend(config.backend, device.type)
    announce(f"search: back end {backend.name} ({backend.reason})")
    check_search(space, config, train_dataset)
    opened = (
        Run.resume(folder)
        if request.resume
        else Run.create(folder, kind="search", command=command, config=settings, seed=config.seed)
    )
    with opened as run, StopRequest() as stop:
        seed_everything(config.seed)
        supernet = Supernet(
            space,
            num_classes=train_dataset.num_classes,
            beta_norm=config.beta_norm,
            backend=backend.name,
            recompute_cells=config.recompute_cells,
        ).to(device)
        result = search(
            supernet,
            strategy_name=settings["strategy"],
            run=run,
            config=config,
            train_dataset=train_dataset,
            val_dataset=val_dataset,
            device=device,
            stop=stop,
        )
        result.architecture.save(folder / "architecture.json")
        draw_search(run, supernet, result.architecture)
        run.update(
            results={"epoch": result.epoch, "path": list(result.architecture.path)},
            backend=backend.name,
        )
        run.finish("finished" if result.is_finished else "interrupted")
    return folder, result


def _resolve(
    request: SearchRequest, given: Mapping[str, Any], device: torch.device
) -> dict[str, Any]:
    """Resolve everything that decides the result: preset, space, settings, dataset."""
    if request.strategy not in STRATEGIES:
        raise unknown_name("strategy", request.strategy, STRATEGIES)
    preset = choose_preset(request.preset, dataset=request.dataset, device=device)
    # A user's space may have no presets; it is then used as written.
    has_preset = preset in SearchSpace.preset_names(request.space)
    space = SearchSpace.load(request.space, preset=preset if has_preset else None)
    data = DataChoice(**fields_of(DataChoice, asdict(request)))
    scale = choose_image_scale(preset, data.build("train").largest_size)
    chosen = {"image_scale": scale, **fields_of(SearchConfig, given)}
    announce(f"search: images at {chosen['image_scale']:.0%} of their sides (--image-scale)")
    config = replace(SEARCH_PRESETS[preset], **chosen)
    return {
        "space": request.space,
        "search_space": space.to_dict(),
        "strategy": request.strategy,
        "preset": preset,
        **asdict(config),
        **asdict(data),
    }


def draw_search(run: Run, supernet: Supernet, architecture: Architecture) -> None:
    """Draw the trellis, the cell and the search's history into the run's figures."""
    trellis = draw_trellis(
        supernet.space,
        supernet.beta.detach().cpu(),
        path=architecture.path,
        beta_norm=supernet.beta_norm,
    )
    save_figure(trellis, run.figures_dir / "trellis")
    save_figure(draw_cell(architecture), run.figures_dir / "cell")
    save_figure(draw_history(load_metrics(run.folder)), run.figures_dir / "history")
