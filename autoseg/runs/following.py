"""One writer a run folder, where several processes do one job."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from autoseg.distributed import is_first_process, wait_for_all
from autoseg.runs.checkpoint import Restore, load_checkpoint
from autoseg.runs.run import Run
from autoseg.runs.weights import Which, weights_path


def open_run(
    folder: Path,
    *,
    resume: bool,
    kind: str,
    command: Sequence[str],
    config: Mapping[str, Any],
    seed: int,
) -> Run:
    """Start a run, or go on with one: the first process of a job writes, the others follow.

    Arguments and errors are those of `Run.create` and `Run.resume`, of which `resume` chooses.
    """
    if not is_first_process():
        wait_for_all()  # the folder is there, and locked
        return FollowedRun(folder)
    if resume:
        run = Run.resume(folder)
    else:
        run = Run.create(folder, kind=kind, command=command, config=config, seed=seed)
    wait_for_all()
    return run


class FollowedRun(Run):
    """A run that the first process writes: checkpoints are read here, and nothing is written."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which need not exist."""
        self.folder = Path(folder)
        self.record = {}

    def log(self, **metrics: object) -> None:
        """Leave it to the first process."""

    def follow(self, follower: Callable[[Mapping[str, object]], None]) -> None:
        """Leave it to the first process, which logs."""

    def save_checkpoint(
        self, state: Mapping[str, Any], *, identity: Mapping[str, Any], step: int
    ) -> Path:
        """Leave it to the first process; return where it writes."""
        return self.folder / f"checkpoint-{step:08d}.pt"

    def load_checkpoint(
        self,
        *,
        identity: Mapping[str, Any],
        map_location: torch.device | str,
        restore: Restore | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """Go back to the newest checkpoint that is whole; metrics.jsonl is left alone."""
        found = load_checkpoint(
            self.folder,
            identity=identity,
            map_location=map_location,
            restore=restore,
            defaults=defaults,
        )
        return None if found is None else found.state

    def save_weights(
        self, which: Which, state_dict: Mapping[str, Tensor], *, metadata: Mapping[str, str]
    ) -> Path:
        """Leave it to the first process; return where it writes."""
        return weights_path(self.folder, which)

    def update(self, **fields: object) -> None:
        """Leave it to the first process."""

    def finish(self, state: Literal["finished", "interrupted", "failed"] = "finished") -> None:
        """Leave it to the first process."""

    def __enter__(self) -> Self:
        """Return the run."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the folder as it is."""
