"""The smallest runs of each kind that still save, log and resume as large ones do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from autoseg.commands.default_strategy import DEFAULT
from autoseg.config import PrunerName, SearchConfig
from autoseg.strategies import ESTIMATORS, STRATEGIES

RUN = "run"
"""Name of a job's run folder, in the folder where it is started."""

SPACE = """\
format_version = 1
name = "killed"
paper = "none: the space autodeeplab, as small as it gets"
num_layers = 3
num_nodes = 2
strides = [4, 8, 16, 32]
operations = ["none", "skip_connect", "max_pool_3x3", "sep_conv_3x3", "atrous_conv_3x3"]
stem_channels = [4, 4, 8]
filter_multiplier = 4
head_rate_times_stride = 96
"""
SPACE_NAME = "killed.toml"

_IMAGES = ("--image-size", "64", "64", "--train-length", "8", "--preset", "tiny", "--device", "cpu")
_SIZES = {
    "num_epochs": ("4",),
    "arch_start_epoch": ("1",),
    "num_samples": ("5",),
    "sample_steps": ("4",),
    "reduction_factor": ("2",),
    "population_size": ("2",),  # of five samples three follow from scores
    "tournament_size": ("2",),
    "crop_size": ("64", "64"),
    "batch_size": ("2",),
    "val_images": ("1",),
}
"""Settings that make a search small, of which it is given those that it reads."""
_RESUME = ("--resume", "--out", RUN, "--device", "cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A command, and how it is gone on with."""

    name: str
    """What stands in the table."""
    module: str
    """Module of the command."""
    words: tuple[str, ...]
    """What it is given to be this job; the table shows it."""
    sizes: tuple[str, ...]
    """What it is given beside that, to be small."""
    again: tuple[str, ...] = _RESUME
    """How it is gone on with after a kill."""
    prepared_by: str | None = None
    """Name of the job whose finished folder it works in."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """How it is started, in an empty folder."""
        return (*self.words, *self.sizes)


def jobs() -> dict[str, Job]:
    """Return all jobs by name, each after the one that prepares it.

    Every strategy that `--strategy` knows is one. So is every estimator and every pruner, by the
    strategy that a search takes where none is named.
    """
    searches = {name: {"strategy": name} for name in STRATEGIES}
    searches["perturbation"] = {"strategy": "darts", "selection": "perturbation"}
    for name in ESTIMATORS:
        if name != SearchConfig().estimator:
            searches[name] = {"strategy": DEFAULT, "estimator": name}
    for name in get_args(PrunerName):
        searches[name] = {"strategy": DEFAULT, "pruner": name}
    searches["storage"] = {"strategy": DEFAULT, "storage": "sqlite:///trials.db"}
    retraining = Job(
        name="retraining",
        module="autoseg.retrain",
        words=("--network", "unet"),
        sizes=(
            *("--width", "0.0625", "--num-steps", "8", "--validate-every", "2"),
            *("--crop-size", "64", "64", "--batch-size", "2", "--val-images", "1"),
            *("--out", RUN, *_IMAGES),
        ),
    )
    words = ("crf", f"{RUN}/unet")
    sizes = ("--num-images", "1", "--num-trials", "12", "--device", "cpu")
    tuning = Job(
        name="tuning",
        module="autoseg.tune",
        words=words,
        sizes=sizes,
        again=(*words, *sizes),
        prepared_by="retraining",
    )
    every = [_search(name, options) for name, options in searches.items()]
    return {job.name: job for job in (*every, retraining, tuning)}


def _search(name: str, options: dict[str, Any]) -> Job:
    """Return a search with some options, as `--name value`, in few steps and small."""
    config = {key: value for key, value in options.items() if key != "strategy"}
    read = STRATEGIES[options["strategy"]].settings(SearchConfig(**config))
    sizes = {key: values for key, values in _SIZES.items() if key in read}
    return Job(
        name=name,
        module="autoseg.search",
        words=_written({key: (value,) for key, value in options.items()}),
        sizes=("--space", SPACE_NAME, *_written(sizes), "--out", RUN, *_IMAGES),
    )


def _written(options: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    words = ((f"--{name.replace('_', '-')}", *values) for name, values in options.items())
    return tuple(word for each in words for word in each)


def prepare(folder: Path) -> None:
    """Write what the jobs read into an empty folder."""
    (folder / SPACE_NAME).write_text(SPACE)
