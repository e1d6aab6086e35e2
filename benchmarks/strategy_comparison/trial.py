"""One contestant with one seed: search, retraining and score, each of which is done once."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ranking.rows import describe_cell, describe_path
from torch import nn

from autoseg.architecture import (
    Architecture,
    CellArchitecture,
    SearchSpace,
    decode_path,
    sample_architecture,
)
from autoseg.cli import INTERRUPTED, OK
from autoseg.config import RETRAIN_PRESETS
from autoseg.cost import count_macs, count_parameters
from autoseg.errors import UsageError
from autoseg.evaluation import evaluate
from autoseg.pricing import Prices, price_space
from autoseg.runs import find_runs, load_record
from autoseg.runs.environment import git_state
from autoseg.trained import RetrainedNetwork

from .contestants import Contestant
from .images import PRESET, Images
from .rows import Row

_SIZES = RETRAIN_PRESETS[PRESET]
_DRAWN_SEEDS = 2_000_000
"""Added to a seed, so that what is drawn is not the first sample of a search."""
_DRAWN_SHARE = 0.9
"""What is drawn costs at least this share of the limit: as many MACs, not just no more."""
_IMAGES_TOGETHER = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What all contestants share."""

    space: SearchSpace
    """The search space, in the sizes of the preset."""
    space_name: str
    """Name or path of the space, for the command line."""
    prices: Prices
    """MACs of the space's networks."""
    limit: int
    """Most MACs of an architecture."""
    num_steps: int
    """Steps of each retraining."""
    images: Images
    """On which images they search, are retrained and scored."""

    @property
    def shared(self) -> dict[str, Any]:
        """What rows must have in common to be compared."""
        return {
            "max_macs": self.limit,
            "num_steps": self.num_steps,
            "dataset": self.images.dataset,
            "num_test_images": len(self.images.test_split),
        }


def price_networks(space: SearchSpace, images: Images) -> Prices:
    """Price the networks that the preset retrains, for the largest image as they see it."""
    dataset = images.test_split
    return price_space(
        space,
        image_size=images.seen_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.num_channels,
        filter_multiplier=_SIZES.filter_multiplier,
        width=_SIZES.width,
    )


def draw_architecture(contestant: Contestant, setting: Setting, seed: int) -> Architecture:
    """Draw uniformly until the MACs are within a tenth below the limit."""
    generator = torch.Generator().manual_seed(_DRAWN_SEEDS + seed)
    while True:
        drawn = sample_architecture(setting.space, generator)
        if contestant.draws == "cell":
            drawn = replace(drawn, path=untrained_path(setting.space))
        if _DRAWN_SHARE * setting.limit <= setting.prices.cost(drawn) <= setting.limit:
            return drawn


def untrained_path(space: SearchSpace) -> tuple[int, ...]:
    """Return the path that a beta without a preference decodes, under the paper's rule."""
    return decode_path(space, torch.zeros(space.num_layers, space.num_levels, 3))


def run_trial(contestant: Contestant, seed: int, *, setting: Setting, folder: Path) -> Row:
    """Search, retrain and score; a run that is finished in the folder is not run again.

    Args:
        contestant: How its network is come by.
        seed: Decides the search, or what is drawn, and the retraining.
        setting: What all contestants share.
        folder: For the run folders of this contestant and seed.

    Raises:
        KeyboardInterrupt: If the user stopped a run; the next call goes on with it.
        UsageError: If a run failed, with its command, or is there with another setting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, cost, images = contestant.network, {}, setting.images
    if contestant.draws is not None:
        architecture = draw_architecture(contestant, setting, seed)
        architecture.save(folder / "architecture.json")
        source = ("--architecture", str(folder / "architecture.json"))
    elif contestant.search:
        run = folder / "search"
        shared = ("--space", setting.space_name, "--max-macs", str(setting.limit))
        own = contestant.search_options(images.epoch_steps)
        _require_same(run, dataset=images.dataset, max_macs=str(setting.limit))
        _finish("search", run, (*own, *shared, *images.options), seed=seed)
        source = ("--architecture", str(run / "architecture.json"))
        cost = load_record(run)["results"]["cost"]
    steps = str(setting.num_steps)
    recipe = ("--num-steps", steps, "--validate-every", steps)
    _require_same(folder / "retrain", dataset=images.dataset, num_steps=setting.num_steps)
    _finish("retrain", folder / "retrain", (*source, *recipe, *images.options), seed=seed)
    retrained = RetrainedNetwork.open(folder / "retrain")
    network = retrained.network("last")
    miou, macs = score(network, images)
    architecture = retrained.choice.architecture
    assert not isinstance(architecture, CellArchitecture)  # MACs, which limit it, are of paths
    state = git_state()
    return Row(
        contestant=contestant.name,
        seed=seed,
        miou=miou,
        path="" if architecture is None else describe_path(architecture),
        cell="" if architecture is None else describe_cell(architecture),
        macs=macs,
        parameters=count_parameters(network),
        search_steps=cost.get("steps", 0),
        search_evaluations=cost.get("evaluations", 0),
        search_processor_s=cost.get("processor_seconds", 0.0),
        search_s=cost.get("seconds", 0.0),
        commit="unknown" if state is None else state["commit"] + "+changes" * state["dirty"],
    )


def score(network: nn.Module, images: Images) -> tuple[float, int]:
    """Return the mean IoU on the test images, and the MACs for the largest of them."""
    height, width = images.seen_size
    evaluation = evaluate(
        network,
        images.test_split,
        device="cpu",
        scales=(images.image_scale,),
        batch_pixels=_IMAGES_TOGETHER * height * width,
    )
    return evaluation.plain.mean_iou(), count_macs(network.eval(), (height, width)).macs


def _require_same(folder: Path, **wanted: Any) -> None:
    """Refuse to go on with what an earlier call has begun with another setting."""
    if not find_runs(folder):
        return
    config = load_record(folder)["config"]
    for name, value in wanted.items():
        if config[name] != value:
            raise UsageError(
                f"{folder}: an earlier call has begun it with {name} = {config[name]}, not "
                f"{value}; name another folder with --runs."
            )


def _finish(command: str, folder: Path, options: Sequence[str], *, seed: int) -> None:
    """Run a command to its end, from where an earlier call has stopped it."""
    if find_runs(folder, state="finished"):
        return
    settings = ("--resume",) if find_runs(folder) else (*options, "--preset", PRESET, *_seed(seed))
    arguments = ("-m", f"autoseg.{command}", *settings, "--out", str(folder))
    print("python", *arguments, flush=True)
    code = subprocess.run([sys.executable, *arguments], check=False).returncode
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code != OK:
        raise UsageError(f"python {' '.join(arguments)}: ended with exit code {code}; see above.")


def _seed(seed: int) -> tuple[str, str]:
    return "--seed", str(seed)
