"""The smallest runs of each kind that still save, log and resume as large ones do."""

from dataclasses import dataclass
from pathlib import Path

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

_IMAGES = (
    *("--image-size", "64", "64", "--crop-size", "64", "64", "--train-length", "8"),
    *("--batch-size", "2", "--val-images", "1", "--device", "cpu"),
)
_SEARCH = ("--space", SPACE_NAME, "--preset", "tiny", "--out", RUN, *_IMAGES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A command, and how it is gone on with."""

    name: str
    """What stands in the table."""
    module: str
    """Module of the command."""
    arguments: tuple[str, ...]
    """How it is started, in an empty folder."""
    again: tuple[str, ...]
    """How it is gone on with after a kill."""
    prepared_by: str | None = None
    """Name of the job whose finished folder it works in."""


def jobs() -> dict[str, Job]:
    """Return all jobs by name, each after the one that prepares it."""
    resume = ("--resume", "--out", RUN, "--device", "cpu")
    network = ("--network", "unet", "--width", "0.0625")
    trained = f"{RUN}/unet"
    tune = ("crf", trained, "--num-images", "1", "--num-trials", "12", "--device", "cpu")
    every = (
        Job(
            name="search",
            module="autoseg.search",
            arguments=(*_SEARCH, "--num-epochs", "4", "--arch-start-epoch", "1"),
            again=resume,
        ),
        Job(
            name="retraining",
            module="autoseg.retrain",
            arguments=(
                *(*network, "--num-steps", "8", "--validate-every", "2", "--preset", "tiny"),
                *("--out", RUN, *_IMAGES),
            ),
            again=resume,
        ),
        Job(
            name="tuning",
            module="autoseg.tune",
            arguments=tune,
            again=tune,
            prepared_by="retraining",
        ),
        Job(
            name="evolution",
            module="autoseg.search",
            arguments=(
                *(*_SEARCH, "--strategy", "evolution", "--num-samples", "5"),
                *("--sample-steps", "2"),
            ),
            again=resume,
        ),
    )
    return {job.name: job for job in every}


def prepare(folder: Path) -> None:
    """Write what the jobs read into an empty folder."""
    (folder / SPACE_NAME).write_text(SPACE)
