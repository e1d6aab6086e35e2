"""The run folder: record, lock, log, atomic save, verified load; and how a loop shows and stops."""

from autoseg.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from autoseg.runs.environment import describe_environment, processor_name
from autoseg.runs.following import open_run
from autoseg.runs.metrics_log import load_metrics
from autoseg.runs.progress import COMPILING, Progress
from autoseg.runs.randomness import own_randomness, restore_rng_state, rng_state, seed_everything
from autoseg.runs.reckoning import Reckoning
from autoseg.runs.record import find_runs, load_record, reading_fields, reading_record
from autoseg.runs.run import Run
from autoseg.runs.stopping import PhaseStoppedError, StopRequest
from autoseg.runs.weights import (
    load_weights,
    weights_path,
    weights_sha256,
)

__all__ = [
    "COMPILING",
    "Checkpoint",
    "PhaseStoppedError",
    "Progress",
    "Reckoning",
    "Run",
    "StopRequest",
    "describe_environment",
    "find_runs",
    "load_checkpoint",
    "load_metrics",
    "load_record",
    "load_weights",
    "open_run",
    "own_randomness",
    "processor_name",
    "reading_fields",
    "reading_record",
    "restore_rng_state",
    "rng_state",
    "save_checkpoint",
    "seed_everything",
    "weights_path",
    "weights_sha256",
]
