"""The run folder while a command writes to it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import Tensor

from autoseg.atomic import remove_leftovers
from autoseg.errors import LostProcessError
from autoseg.runs.checkpoint import (
    Restore,
    load_checkpoint,
    remove_superseded,
    save_checkpoint,
)
from autoseg.runs.environment import describe_environment
from autoseg.runs.folders import require_no_run, require_place
from autoseg.runs.json_values import to_json
from autoseg.runs.lock import FolderLock
from autoseg.runs.metrics_log import MetricsLog
from autoseg.runs.record import (
    load_record,
    new_record,
    next_order,
    now,
    save_record,
)
from autoseg.runs.weights import Which, save_weights

_FIXED = (
    "format_version",
    "sha256",
    "kind",
    "command",
    "config",
    "seed",
    "git",
    "versions",
    "hardware",
    "created",
    "order",
    "updated",
    "state",
    "resumed",
)


_FIGURES = "figures"


class Run:
    """A locked, writable run folder; use it as a context manager.

    Leaving the block releases the lock. If `finish` was not called by then, the state becomes
    "failed" after an exception, and "interrupted" otherwise: only `finish` makes a run finished.

    Attributes:
        folder: The run folder.
        record: The content of run.json; change it through `update` and `finish`.
    """

    folder: Path
    record: dict[str, Any]

    def __init__(self, folder: Path, record: dict[str, Any], lock: FolderLock) -> None:
        """Take a folder that is locked and has a record; `create` and `resume` call this.

        Args:
            folder: The run folder.
            record: The content of its run.json.
            lock: The lock that this process holds on it.
        """
        self.folder = folder
        self.record = record
        self._lock = lock
        self._metrics: MetricsLog | None = None
        self._followers: list[Callable[[Mapping[str, object]], None]] = []

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        kind: str,
        command: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
    ) -> Self:
        """Start a run in a folder that holds none yet.

        Args:
            folder: Where; made if missing.
            kind: "search", "retrain" or another command's word.
            command: The command line, one string an argument.
            config: The resolved configuration: numbers, strings, paths, tuples, dataclasses.
            seed: The seed of the run.

        Returns:
            The run, locked, in the state "running".

        Raises:
            UsageError: If the folder holds a run, is or lies in a file, or is in use by another
                process.
            ValueError: If the configuration holds what a record cannot; no folder is made then.
            OSError: If the disk is full or the folder cannot be written.
        """
        folder = Path(folder)
        require_place(folder)
        order = next_order(folder)
        record = new_record(kind=kind, command=command, config=config, seed=seed, order=order)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
        try:
            require_no_run(folder)
            _remove_leftovers(folder)
            save_record(folder, record)
            run = cls(folder, record, lock)
            run._metrics = MetricsLog(folder)
            return run
        except BaseException:
            lock.release()
            raise

    @classmethod
    def resume(cls, folder: Path) -> Self:
        """Continue a run; its state becomes "running" and the time and machine are noted.

        Args:
            folder: The run folder.

        Returns:
            The run, locked.

        Raises:
            UsageError: If the folder holds no run or is in use by another process.
            FileError: If its record or a line of metrics.jsonl is damaged.
        """
        run = cls._open(folder)
        try:
            run._metrics = MetricsLog(run.folder)
            run.record["resumed"].append({"time": now(), **describe_environment()})
            run.record["state"] = "running"
            run._save()
        except BaseException:
            run._close()
            raise
        return run

    @classmethod
    def annotate(cls, folder: Path) -> Self:
        """Open a run to add results to it; its state stays as it is, whatever happens.

        Args:
            folder: The run folder.

        Returns:
            The run, locked.

        Raises:
            UsageError: If the folder holds no run or is in use by another process.
            FileError: If its record is damaged.
        """
        return cls._open(folder)

    @classmethod
    def _open(cls, folder: Path) -> Self:
        folder = Path(folder)
        load_record(folder)  # a wrong folder is refused before a lock file is left in it
        lock = FolderLock(folder)
        try:
            _remove_leftovers(folder)
            return cls(folder, load_record(folder), lock)
        except BaseException:
            lock.release()
            raise

    @property
    def figures_dir(self) -> Path:
        """The folder for pictures, made when first asked for."""
        path = self.folder / _FIGURES
        path.mkdir(exist_ok=True)
        return path

    def log(self, **metrics: object) -> None:
        """Append one line to metrics.jsonl, where other processes see it at once.

        Args:
            metrics: Numbers, strings, lists and dictionaries by name. NaN becomes null, which reads
                as "undefined". "time" is added.

        Raises:
            ValueError: If a number is infinite or the name "time" is used.
            TypeError: If a value has no JSON form, for example a tensor.
            RuntimeError: If the run was opened by `annotate`.
            OSError: If the disk is full.
        """
        self._metrics_log().append(metrics)
        for follower in self._followers:
            follower(metrics)

    def follow(self, follower: Callable[[Mapping[str, object]], None]) -> None:
        """Have every line that is logged from now on handed to a function as well."""
        self._followers.append(follower)

    def save_checkpoint(
        self, state: Mapping[str, Any], *, identity: Mapping[str, Any], step: int
    ) -> Path:
        """Save everything that resuming needs; the checkpoint before it is kept.

        Args:
            state: Tensors, numbers, strings and None, in dictionaries, lists and tuples.
            identity: What a run must agree on to continue from it, for example its space.
            step: Steps done.

        Returns:
            The file written.

        Raises:
            TypeError: If `state` holds anything else.
            OSError: If the disk is full; earlier checkpoints are untouched then.
        """
        self._metrics_log().sync()
        return save_checkpoint(
            self.folder,
            state,
            identity=identity,
            step=step,
            metrics_bytes=self._metrics_log().num_bytes,
        )

    def load_checkpoint(
        self,
        *,
        identity: Mapping[str, Any],
        map_location: torch.device | str,
        restore: Restore | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """Go back to the newest checkpoint that is whole.

        Lines of metrics.jsonl that are newer than it are removed, all of them if there is no
        checkpoint: their steps are done and logged again. So is a checkpoint that a kill has kept
        from being deleted.

        Args:
            identity: What this run is; must equal what the checkpoint was saved with.
            map_location: Device for the tensors.
            restore: Takes the state over; see `load_checkpoint`.
            defaults: What fields of `identity` were before they were recorded.

        Returns:
            The state that was saved, or None if the run has to start from step 0.

        Warns:
            UserWarning: If the newest checkpoint is damaged and the one before it is taken.

        Raises:
            UsageError: If the checkpoint belongs to another run, or a newer autoseg wrote it.
            FileError: If every checkpoint is damaged.
        """
        checkpoint = load_checkpoint(
            self.folder,
            identity=identity,
            map_location=map_location,
            restore=restore,
            defaults=defaults,
        )
        if checkpoint is None:
            self._metrics_log().truncate(0, step=-1)
            return None
        self._metrics_log().truncate(checkpoint.metrics_bytes, step=checkpoint.step)
        remove_superseded(self.folder, step=checkpoint.step)
        return checkpoint.state

    def save_weights(
        self, which: Which, state_dict: Mapping[str, Tensor], *, metadata: Mapping[str, str]
    ) -> Path:
        """Write weights-best.safetensors or weights-last.safetensors, all of it or nothing.

        Args:
            which: "best" (by validation) or "last".
            state_dict: Tensors by name.
            metadata: Text stored in the file, for example the network's name.

        Returns:
            The file written.

        Raises:
            OSError: If the disk is full; the previous weights are untouched then.
        """
        return save_weights(self.folder, which, state_dict, metadata=metadata)

    def update(self, **fields: object) -> None:
        """Set fields of run.json and save it.

        Args:
            fields: Values by name. `results` is merged into the results there are; any other
                dictionary replaces the one before it.

        Raises:
            ValueError: If a field is one that the run itself keeps.
            TypeError: If a value has no JSON form.
            OSError: If the disk is full; run.json is untouched then.
        """
        for name in fields:
            if name in _FIXED:
                raise ValueError(f"Run.update: {name!r} is kept by the run itself.")
        values = {name: to_json(value, where=name) for name, value in fields.items()}
        results = values.pop("results", {})
        if not isinstance(results, dict):
            raise ValueError(f"Run.update: results must be a dictionary, not {results!r}.")
        self.record.update(values)
        self.record["results"].update(results)
        self._save()

    def finish(self, state: Literal["finished", "interrupted", "failed"] = "finished") -> None:
        """State how the run ended, and save it.

        Args:
            state: "finished", "interrupted" (resumable) or "failed".

        Raises:
            RuntimeError: If the run was opened by `annotate`.
            OSError: If the disk is full.
        """
        if self._metrics is None:
            raise RuntimeError("Run.finish: annotate() leaves the state alone; use resume().")
        self.record["state"] = state
        self._save()

    def __enter__(self) -> Self:
        """Return the run."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Save the state if `finish` was not called, and give the folder back."""
        try:
            if self.record["state"] == "running" and self._metrics is not None:
                is_stopped = isinstance(error, KeyboardInterrupt | LostProcessError)
                failed = error is not None and not is_stopped
                self.finish("failed" if failed else "interrupted")
        except OSError as second:
            if error is None:
                raise
            # The first error is the one to read: a disk that is full often causes both.
            error.add_note(f"The state of the run could not be saved either: {second}")
        finally:
            self._close()

    def _save(self) -> None:
        self.record["updated"] = now()
        save_record(self.folder, self.record)

    def _metrics_log(self) -> MetricsLog:
        if self._metrics is None:
            raise RuntimeError("Run: annotate() adds results alone; use resume().")
        return self._metrics

    def _close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
        self._lock.release()


def _remove_leftovers(folder: Path) -> None:
    """Delete what a kill inside a save has left; the caller holds the lock."""
    remove_leftovers(folder)
    remove_leftovers(folder / _FIGURES)
