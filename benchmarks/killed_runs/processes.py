"""Run a command in a process of its own, and kill it at a moment that was drawn.

A process is forked from this one, where everything is imported already: no run pays for that again.
Its pictures are saved, but not drawn.
"""

import importlib
import io
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from matplotlib.figure import Figure
from sqlalchemy.engine.default import DefaultDialect

from autoseg.runs.json_lines import JsonLines

WRITTEN, RENAMING, RENAMED, LINE, COMMITTING, COMMITTED = (
    "half written",
    "before its name",
    "under its name",
    "half a line",
    "before its commit",
    "after its commit",
)
"""Moments inside of a save: the temporary file is cut to a share and not renamed; it is whole and
not renamed; it has its name, and nothing was done since; a line is cut to a share; a database has
all rows of a transaction and does not hold them yet; it holds them, and nothing was done since."""

DATABASE = "database"
"""Stands for the name of a database's file."""

_NEEDED_LATER = (
    *(f"autoseg.commands.{name}" for name in ("search", "retrain", "tune", "next_steps")),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
    *("autoseg.proposers.database", "sqlalchemy.dialects.sqlite"),
)
"""Modules that the commands import when they are needed."""


@dataclass(frozen=True, slots=True)
class Event:
    """A moment inside of a save."""

    kind: str
    file: str
    """Name of the file that is saved, without what counts steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """When a process is to die: at a share of its work, or in a save."""

    cpu_seconds: float | None = None
    """Processor time after which it is killed."""
    event: int | None = None
    """Number of the event, from 0, at which it kills itself."""
    share: float = 0.5
    """Of a file or line that is cut: how much of it is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a process ended."""

    code: int
    """Exit code; -9 is a kill."""
    cpu_seconds: float
    """Processor time that it took."""


def run_process(
    module: str, arguments: Sequence[str], *, folder: Path, log: Path, kill: Kill | None = None
) -> Ended:
    """Run a command to its end or its kill.

    Args:
        module: Has the command's `main`.
        arguments: The command line.
        folder: Where it runs.
        log: What it prints goes here, after what is there; its events, a JSON list, beside it
            under the ending `.events`.
        kill: When it is to die; None: not at all.
    """
    main = importlib.import_module(module).main
    for name in _NEEDED_LATER:
        importlib.import_module(name)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _command(main, arguments, folder, log, kill or Kill())
    limit = None if kill is None else kill.cpu_seconds
    while limit is not None and _is_running(pid):
        if _cpu_seconds(pid) >= limit:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    _, status, usage = os.wait4(pid, 0)
    return Ended(
        code=os.waitstatus_to_exitcode(status), cpu_seconds=usage.ru_utime + usage.ru_stime
    )


def events_of(log: Path) -> list[Event]:
    """Read the events of a process that ended by itself, in order."""
    return [Event(*each) for each in json.loads(log.with_suffix(".events").read_text())]


def _command(
    main: Callable[[list[str]], int],
    arguments: Sequence[str],
    folder: Path,
    log: Path,
    kill: Kill,
) -> None:
    """Be the process; never returns."""
    code = 70
    try:
        os.chdir(folder)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        torch.set_num_threads(1)
        mock.patch.object(Figure, "savefig", _no_picture).start()
        watch = _Watch(kill)
        watch.install()
        # A test's filters make an error of what tells that a kill has cut a line.
        warnings.simplefilter("default")
        code = main(list(arguments))
        log.with_suffix(".events").write_text(json.dumps(watch.events))
    except BaseException:
        with log.open("a") as file:
            traceback.print_exc(file=file)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _no_picture(figure: Figure, file: io.IOBase, **options: Any) -> None:
    """Stand for a picture: to draw it takes longer than all the rest of so small a run."""
    file.write("a picture" if isinstance(file, io.StringIO) else b"a picture")  # type: ignore[attr-defined]


class _Watch:
    """Sees this process's saves, and kills it in the one that was drawn."""

    def __init__(self, kill: Kill) -> None:
        self._kill = kill
        self.events: list[tuple[str, str]] = []

    def install(self) -> None:
        """Stand between the program and the system."""
        fsync, replace, append = os.fsync, os.replace, JsonLines.append
        commit = DefaultDialect.do_commit

        def watched_fsync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.suffix == ".tmp" and self._is_due(WRITTEN, path.stem[1:].rsplit(".", 1)[0]):
                os.truncate(path, int(path.stat().st_size * self._kill.share))
                _die()
            fsync(descriptor)

        def watched_replace(source: Any, target: Any, **options: Any) -> None:
            if self._is_due(RENAMING, Path(target).name):
                _die()
            replace(source, target, **options)
            if self._is_due(RENAMED, Path(target).name):
                _die()

        def watched_append(lines: JsonLines, *values: Any) -> None:
            if self._is_due(LINE, lines.path.name):
                with lines.path.open("ab") as file:
                    text = json.dumps(values[0]).encode()
                    file.write(text[: max(1, int(len(text) * self._kill.share))])
                _die()
            append(lines, *values)

        def watched_commit(dialect: DefaultDialect, connection: Any) -> None:
            writes = connection.in_transaction  # not so where rows were read alone
            if writes and self._is_due(COMMITTING, DATABASE):
                _die()
            commit(dialect, connection)
            if writes and self._is_due(COMMITTED, DATABASE):
                _die()

        os.fsync, os.replace = watched_fsync, watched_replace
        mock.patch.object(JsonLines, "append", watched_append).start()
        mock.patch.object(DefaultDialect, "do_commit", watched_commit).start()

    def _is_due(self, kind: str, name: str) -> bool:
        file = "checkpoint" if name.startswith("checkpoint-") else name
        self.events.append((kind, file))
        return len(self.events) - 1 == self._kill.event


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _is_running(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
